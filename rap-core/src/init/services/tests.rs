//! Real processes under the real loop: this test program is the services, too (see `service_netd`).

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;
use crate::notify::{Notifier, inherited_sockets};

const DEADLINE: Duration = Duration::from_secs(30);

/// Not a test by itself: with a notify socket in the environment this is a service that opens a socket, or goes on
/// with the one it gets back.
#[test]
fn service_netd() {
    if std::env::var_os(NOTIFY_FD).is_none() {
        return;
    }
    let notifier = Notifier::from_environment();
    let kept = inherited_sockets().pop();
    let said = if kept.is_some() { "kept" } else { "opened" };
    let listener = kept.map_or_else(|| TcpListener::bind("127.0.0.1:0").unwrap(), |(_, fd)| fd.into());
    notifier.store("ingest@port1", listener.as_fd());
    notifier.status(&format!("{said} {}", listener.local_addr().unwrap()));
    notifier.ready();
    loop {
        std::thread::park();
    }
}

/// Not a test by itself: a service that answers each connection on the socket it was handed with its process id.
#[test]
fn service_forward() {
    if std::env::var_os(NOTIFY_FD).is_none() {
        return;
    }
    let notifier = Notifier::from_environment();
    let (name, socket) = inherited_sockets().pop().expect("a socket");
    assert_eq!(name, "ingest@port1");
    notifier.ready();
    for connection in TcpListener::from(socket).incoming() {
        connection
            .unwrap()
            .write_all(std::process::id().to_string().as_bytes())
            .unwrap();
    }
}

fn services() -> Services {
    let service = |name: &'static str, after, stores| Service {
        spec: Spec {
            name,
            vital: true,
            after,
            stores,
            takes: &["ingest@"],
            restarts: false,
            speaks: true,
        },
        program: std::env::current_exe().unwrap(),
        arguments: vec![
            format!("init::services::tests::service_{name}"),
            "--exact".to_owned(),
        ],
        confined: None,
        terminal: None,
    };
    Services::new(
        vec![
            service("netd", None, true),
            service("forward", Some("netd"), false),
        ],
        None,
    )
}

/// A story told turn by turn: each step says when it is done.
struct Story<F> {
    began: Instant,
    step: F,
}

impl<F: FnMut(&Services) -> Option<Goal>> Surroundings for Story<F> {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn turn(&mut self, now: Duration, services: &Services) -> Turn {
        assert!(now < DEADLINE, "the story does not go on: {:?}", services.texts);
        let goal = (self.step)(services);
        let until = now + Duration::from_millis(20);
        Turn { until, goal }
    }
}

fn tell(services: &mut Services, step: impl FnMut(&Services) -> Option<Goal>) -> Goal {
    let began = Instant::now();
    services.run(&mut Story { began, step })
}

/// Asks whoever accepts on the socket that netd announced for its process id.
fn ask(services: &Services) -> u32 {
    let address = services.texts[0].split_whitespace().last().unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.parse().unwrap()
}

fn kill(services: &Services, id: Id) {
    services.signal(id, Signal::KILL);
}

#[test]
fn sockets_outlive_both_services_and_shutdown_leaves_nobody() {
    let mut services = services();
    let (mut step, mut pids, mut opened) = (0, [0; 2], String::new());
    let goal = tell(&mut services, |services| {
        let states = [0, 1].map(|id| services.supervisor.state(id));
        let all_run = states
            .iter()
            .all(|(phase, _)| matches!(phase, super::super::supervisor::Phase::Running(_)));
        let restarts = states.map(|(_, restarts)| restarts);
        match (step, restarts) {
            (0, [0, 0]) if all_run => {
                opened = services.texts[0].clone();
                pids = [0, 1].map(|id| services.pid(id).unwrap());
                assert!(opened.starts_with("opened 127.0.0.1:"));
                assert_eq!(ask(services), pids[1]);
                kill(services, 1);
                step = 1;
            }
            (1, [0, 1]) if all_run => {
                let forward = ask(services);
                assert_ne!(forward, pids[1]);
                pids[1] = forward;
                kill(services, 0);
                step = 2;
            }
            (2, [1, 1]) if all_run && services.texts[0].starts_with("kept") => {
                assert_eq!(services.texts[0].replace("kept", "opened"), opened);
                assert_eq!(ask(services), pids[1], "the forwarder was not restarted");
                pids[0] = services.pid(0).unwrap();
                return Some(Goal::PowerOff);
            }
            _ => {}
        }
        None
    });
    assert_eq!(goal, Goal::PowerOff);
    for pid in pids {
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        assert!(
            rustix::process::test_kill_process(pid).is_err(),
            "{pid:?} is left"
        );
    }
}

#[test]
fn a_forgotten_socket_is_closed_and_only_who_stores_may_forget() {
    let mut services = services();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let store = Message::Store {
        name: "ingest@port1".to_owned(),
        socket: listener.into(),
    };
    let forget = || Message::Forget {
        name: "ingest@port1".to_owned(),
    };
    assert_eq!(services.heard(0, store), Event::Stored(0, "ingest@"));
    assert_eq!(services.heard(1, forget()), Event::Heard(1));
    assert!(TcpStream::connect(address).is_ok());
    assert_eq!(services.heard(0, forget()), Event::Stored(0, "ingest@"));
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(services.heard(0, forget()), Event::Heard(0));
    // What is another's nobody replaces.
    let (slot, _) = std::os::unix::net::UnixStream::pair().unwrap();
    let foreign = Message::Store {
        name: "slot@a".to_owned(),
        socket: slot.into(),
    };
    assert_eq!(services.heard(0, foreign), Event::Heard(0));
    assert!(!services.store.contains_key("slot@a"));
}

#[test]
fn a_program_that_is_not_there_is_tried_again_and_ends_the_box_at_last() {
    let mut services = services();
    services.list[0].program = "/nonexistent".into();
    // Time runs a hundredfold here: the pauses are the supervisor's own.
    struct Fast(Instant);
    impl Surroundings for Fast {
        fn now(&self) -> Duration {
            self.0.elapsed() * 1000
        }
        fn turn(&mut self, now: Duration, _: &Services) -> Turn {
            assert!(self.0.elapsed() < DEADLINE);
            Turn {
                until: now + Duration::from_millis(10),
                goal: None,
            }
        }
    }
    assert_eq!(services.run(&mut Fast(Instant::now())), Goal::Reboot);
    assert!(!services.supervisor.feeds());
    assert_eq!(services.supervisor.state(0).1, super::super::supervisor::GIVE_UP);
}

#[test]
fn a_real_user_with_its_capabilities_is_taken_by_the_child() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return println!("skipped: needs root");
    }
    let mut services = services();
    services.list[0].program = "/bin/sleep".into();
    services.list[0].arguments = vec!["1000".to_owned()];
    // The one service that may start any program.
    let needs = confine::of("netd").unwrap();
    let owner = Owner {
        user: 65_534,
        group: 65_533,
    };
    services.list[0].confined = Some((needs, owner));
    let mut seen = None;
    tell(&mut services, |services| {
        let pid = services.pid(0)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        // Until exec the child is still this program.
        (field("Name:") == ["sleep"]).then(|| {
            seen = Some((field("Uid:"), field("Gid:"), field("Groups:"), field("CapEff:")));
            Goal::Reboot
        })
    });
    let (user, group, groups, capabilities) = seen.unwrap();
    assert!(user.iter().all(|id| id == "65534") && group.iter().all(|id| id == "65533"));
    assert!(groups.is_empty(), "{groups:?}");
    assert_eq!(capabilities, [format!("{:016x}", needs.capabilities.bits())]);
}

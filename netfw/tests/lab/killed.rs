//! A process that applies a network step by step and is killed on the way: the test program itself, started with only
//! the test `child_that_is_killed` to run, which calls [`child`].

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use netfw::kernel::Executor;
use netfw::plan::NetPlan;

use super::{Lab, machine, network, random};

/// The process, as its parent sees it.
pub(crate) struct Killed {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Killed {
    /// Towards network `name`; after `steps` steps it waits to be killed.
    pub(crate) fn start(lab: &Lab, name: &str, steps: Option<usize>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child_that_is_killed",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(
                "NETFW_CHILD",
                format!("{} {name} {}", lab.prefix, steps.unwrap_or(usize::MAX)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // So that an nft it runs at that moment dies with it, as in a container that is killed.
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// What it says next.
    pub(crate) fn wait(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the child ended by itself");
            // libtest writes "test NAME ... " before it, without a line's end.
            if let Some((_, said)) = line.trim().rsplit_once("child: ") {
                return said.to_owned();
            }
        }
    }

    /// Kills it, and an nft that it runs, with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }
}

/// What the process does; nothing in a test program that was started by somebody else.
pub(crate) fn child() {
    let Ok(order) = std::env::var("NETFW_CHILD") else {
        return;
    };
    let mut words = order.split(' ');
    let machine = machine(words.next().unwrap());
    let goal = match words.next().unwrap() {
        "a" => network(2),
        _ => random::moved(&network(3)),
    };
    let steps: usize = words.next().unwrap().parse().unwrap();
    let plan = NetPlan::new(&goal);
    println!("child: begun");
    if steps == usize::MAX {
        // At full speed, in all namespaces at once.
        netfw::apply_on(&machine, &goal).unwrap();
    }
    let all = netfw::diff(&plan, &netfw::observe(&machine, &plan).unwrap());
    let mut executor = Executor::new(&machine);
    for step in all.iter().take(steps) {
        executor.execute(step).unwrap();
    }
    println!("child: {}", if all.len() > steps { "more" } else { "done" });
    // Until it is killed.
    let _ = std::io::stdin().read(&mut [0]);
}

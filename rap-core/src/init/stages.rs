//! What process 1 does before the services run, one stage after another, each named on the console.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot};

use crate::audit::{Event, Kind};
use crate::boot::disk::Table;
use crate::build_info::BuildInfo;
use crate::confine::{self, Needs};
use crate::site::Site;
use crate::{install, paths, sys};

use super::clock::{self, Floor};
use super::disk::BootDisk;
use super::durable::Owner;
use super::report::{DataState, Keeper};
use super::services::{Service, Services};
use super::supervisor::{Goal, Spec};
use super::trial::{self, Trial};
use super::watchdog::Watchdog;
use super::{
    InitError, boot_entries, consume, durable, folders, harden, installer, modules, mounts, paths_below,
    secure_boot, users,
};

/// The program every service is.
const PROGRAM: &str = "/usr/bin/rap";
/// The program of the services that speak TLS.
const TLS_PROGRAM: &str = "/usr/bin/rap-tls";
/// What the identity service stores when another identity is in use: who takes it is restarted.
const CHANGED: &str = "identity@";
/// Where the `debug` overlay says which program gets the second serial line.
const DEBUG_SHELL: &str = "/etc/rap/debug-shell";

/// From the kernel's hands to the end of the last service.
pub(super) fn bring_up() -> Result<Goal, InitError> {
    // Before anything else: on half a root nothing can be relied upon.
    if !Path::new(paths::SENTINEL).exists() {
        return Err(InitError::Incomplete);
    }
    stage("mounts");
    mounts::mount_kernel()?;
    protect()?;
    make_status_directory()?;
    stage("modules");
    let watchdog = load_modules();
    mounts::mount_efi_variables();
    mounts::open_tunnels();
    modules::apply_settings(Path::new("/etc/sysctl.d"));
    stage("watchdog");
    if watchdog.is_none() {
        log::warn!("no hardware watchdog: a box that hangs stays so");
    }
    stage("clock");
    let build = read_build_info();
    let floor = Floor::new(build.as_ref().map_or(0, |build| build.built), clock::since_boot());
    let mut set = clock::hold(floor);
    if install::is_wanted() {
        return installer::run(watchdog.as_ref(), build);
    }
    let mut found = prepare_data(watchdog.as_ref(), build.as_ref())?;
    let floor = match &found.data {
        DataState::Mounted => clock::raise(floor, &mut set),
        DataState::Missing(_) => floor,
    };
    if found.enrolled {
        log::info!("Secure Boot's keys are enrolled: the box restarts, and firmware asks for signatures");
        shut_down();
        return Ok(Goal::Reboot);
    }
    let secure_boot = secure_boot::state(Path::new(secure_boot::VARIABLES));
    if let Some(state) = secure_boot {
        log::info!("{}", state.words());
    }
    if let Some(table) = &found.table {
        boot_entries::keep(
            Path::new(secure_boot::VARIABLES),
            table,
            Path::new(paths::BOOT_ENTRIES),
        );
    }
    name_host();
    if let Err(error) = sys::loopback_up() {
        found.problems.push(format!("the loopback link is down: {error}"));
    }
    if let Err(error) = hand_over(&found.data) {
        found.complain(format!("{:#}", anyhow::Error::from(error)));
    }
    harden::lock_kernel();
    mounts::seal_root();
    let trial = build
        .as_ref()
        .and_then(|build| Trial::of(Path::new(paths::DATA), &build.build_id));
    stage("services");
    if let Some(trial) = &trial {
        trial.came_to("the start of the services");
    }
    let mut services = Services::new(services(&found.data)?, Some(super::signals()?));
    for (name, slot) in found.slots {
        services.keep(name, slot);
    }
    services.outbox.put(boot_event(build.as_ref()));
    set.into_iter().for_each(|event| services.outbox.put(event));
    if found.provisioned {
        let words = "site or identity came from the provision partition";
        services.outbox.put(Event::new(Kind::Provisioned, words));
    }
    let mut keeper = Keeper::new(watchdog, floor, found.data, secure_boot, found.problems);
    keeper.trial = trial;
    let goal = services.run(&mut keeper);
    keeper.save_time();
    shut_down();
    Ok(goal)
}

pub(super) fn stage(name: &str) {
    log::info!("stage {name}");
}

/// What holds for process 1 and, inherited, for everything it starts.
fn protect() -> Result<(), InitError> {
    // No program here gains rights by being executed.
    rustix::thread::set_no_new_privs(true).map_err(|error| InitError::System {
        action: "forbid new privileges",
        source: error.into(),
    })?;
    // ctrl-alt-del becomes a SIGINT to process 1 instead of a reset.
    if let Err(error) = reboot(RebootCommand::CadOff) {
        log::warn!("ctrl-alt-del stays a reset: {error}");
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

/// Every service writes its own file here, and none can replace another's: the directory is sticky.
fn make_status_directory() -> Result<(), InitError> {
    let status = Path::new(paths::STATUS);
    durable::directory(status.parent().unwrap_or(status), 0o755, None)?;
    durable::directory(status, 0o1777, None)
}

/// Loads the modules in their order; takes the watchdog over as soon as its driver is there.
fn load_modules() -> Option<Watchdog> {
    let mut watchdog = Watchdog::take_over();
    let list = std::fs::read_to_string(paths::MODULES).unwrap_or_else(|error| {
        log::error!("cannot read {}: {error}", paths::MODULES);
        String::new()
    });
    modules::load_all(&list, || {
        if watchdog.is_none() {
            watchdog = Watchdog::take_over();
        }
    });
    watchdog
}

fn read_build_info() -> Option<BuildInfo> {
    let parsed = std::fs::read(paths::BUILD_INFO)
        .map_err(serde_json::Error::io)
        .and_then(|content| serde_json::from_slice::<BuildInfo>(&content));
    match parsed {
        Ok(build) => {
            log::info!("version {}, build {:.12}", build.version, build.build_id);
            Some(build)
        }
        Err(error) => {
            log::error!("{}: {error}", paths::BUILD_INFO);
            None
        }
    }
}

/// What came of looking for data and provisions.
struct Found {
    data: DataState,
    /// The disk's table, once it can be relied upon.
    table: Option<Table>,
    /// The slots, open, under the names by which the updater gets them.
    slots: Vec<(&'static str, OwnedFd)>,
    problems: Vec<String>,
    /// Whether firmware was given keys: then it wants a restart.
    enrolled: bool,
    /// Whether something came from the provision partition.
    provisioned: bool,
}

/// Finds the disk, mounts its data, takes what was provisioned. What fails is a problem and not the end.
fn prepare_data(watchdog: Option<&Watchdog>, build: Option<&BuildInfo>) -> Result<Found, InitError> {
    let feed = || watchdog.iter().for_each(|watchdog| watchdog.feed());
    let missing = |error: InitError| {
        let reason = format!("{:#}", anyhow::Error::from(error));
        log::error!("no data partition: {reason}");
        Found {
            data: DataState::Missing(reason),
            table: None,
            slots: Vec::new(),
            problems: Vec::new(),
            enrolled: false,
            provisioned: false,
        }
    };
    mounts::make_directory(Path::new(paths::DATA))?;
    stage("disk");
    feed();
    let mut disk = match BootDisk::find() {
        Ok(disk) => disk,
        Err(error) => return Ok(missing(error)),
    };
    stage("data");
    feed();
    if let Err(error) = disk.mount_data(Path::new(paths::DATA), &feed) {
        if build.is_some_and(|build| is_on_trial(&disk, build)) {
            return Err(InitError::TrialWithoutData(Box::new(error)));
        }
        return Ok(missing(error));
    }
    feed();
    if let Some(trial) = build.and_then(|build| Trial::of(Path::new(paths::DATA), &build.build_id)) {
        log::info!("this image is on trial");
        trial.came_to("its data partition");
    }
    stage("provision");
    let mut found = Found {
        data: DataState::Mounted,
        table: Some(disk.table().clone()),
        slots: Vec::new(),
        problems: Vec::new(),
        enrolled: false,
        provisioned: false,
    };
    if let Err(error) = provision(&disk, &mut found) {
        found.complain(format!("{:#}", anyhow::Error::from(error)));
    }
    match disk.slots() {
        Ok(slots) => found.slots.extend(slots),
        Err(error) => found.complain(format!("{:#}", anyhow::Error::from(error))),
    }
    feed();
    Ok(found)
}

/// Whether this image is on trial, without asking the data partition.
fn is_on_trial(disk: &BootDisk, build: &BuildInfo) -> bool {
    let slots = disk.slots().map(|slots| slots.map(|(_, slot)| File::from(slot)));
    slots.is_ok_and(|slots| trial::says_the_slot(slots, &build.build_id))
}

impl Found {
    fn complain(&mut self, reason: String) {
        log::error!("{reason}");
        self.problems.push(reason);
    }

    fn enrol(&mut self, keys: &BTreeMap<String, Vec<u8>>) {
        match secure_boot::enrol(Path::new(secure_boot::VARIABLES), keys) {
            Ok(enrolled) => self.enrolled = enrolled,
            Err(error) => self.complain(format!("firmware refuses the keys for Secure Boot: {error}")),
        }
    }
}

fn provision(disk: &BootDisk, found: &mut Found) -> Result<(), InitError> {
    let data = Path::new(paths::DATA);
    let (mut partition, length) = disk.provision()?;
    let readers = folders::make(&paths_below(data))?;
    let enrol = |keys: &_| found.enrol(keys);
    if consume::consume(&mut partition, length, data, Some(readers), enrol)? {
        found.provisioned = true;
        log::info!("provisioned; the provision partition is wiped");
    }
    Ok(())
}

fn boot_event(build: Option<&BuildInfo>) -> Event {
    let event = Event::new(Kind::Boot, "the box came up");
    match build {
        Some(build) => event
            .with("version", &build.version)
            .with("build", &build.build_id),
        None => event,
    }
}

/// What a service needs, and the user it runs as.
pub(super) fn user_of(service: &str) -> Result<(&'static Needs, Owner), InitError> {
    let needs = confine::of(service).ok_or_else(|| InitError::Unconfined {
        name: service.to_owned(),
    })?;
    Ok((needs, users::lookup(needs.user)?))
}

fn hand_over(data: &DataState) -> Result<(), InitError> {
    let mounted = matches!(data, DataState::Mounted);
    harden::hand_over(user_of("netd")?.1, user_of("audit")?.1, mounted)
}

/// The site's name, or `rap` for a box that has none yet.
fn name_host() {
    let site = Site::load(Path::new(paths::SITE));
    let name = site.map_or_else(|_| "rap".to_owned(), |site| site.name);
    if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
        log::warn!("cannot set the host name {name}: {error}");
    }
}

/// The services of this box, in the order they start. Without data there is nothing to forward reports from or to.
fn services(data: &DataState) -> Result<Vec<Service>, InitError> {
    let spec = |name| Spec {
        name,
        vital: true,
        after: None,
        stores: false,
        takes: &["ingest@"],
        restarts: false,
        speaks: true,
    };
    let service = |program: &str, spec: Spec| {
        Ok::<_, InitError>(Service {
            program: program.into(),
            arguments: vec![spec.name.to_owned()],
            confined: Some(user_of(spec.name)?),
            terminal: None,
            spec,
        })
    };
    let mut list = Vec::new();
    if matches!(data, DataState::Mounted) {
        // First, so that it hears of all others, and ends last.
        let audit = Spec {
            vital: false,
            takes: &[],
            restarts: false,
            ..spec("audit")
        };
        list.push(service(PROGRAM, audit)?);
    }
    list.push(service(
        PROGRAM,
        Spec {
            stores: true,
            takes: &["ingest@", "web@"],
            ..spec("netd")
        },
    )?);
    if matches!(data, DataState::Mounted) {
        let relay = Spec {
            after: Some("netd"),
            takes: &[],
            ..spec("relay")
        };
        list.push(service(PROGRAM, relay)?);
        // Not vital: without it nobody gets in, and reports are taken and kept.
        let session = Spec {
            vital: false,
            after: Some("netd"),
            takes: &[],
            ..spec("session")
        };
        list.push(service(TLS_PROGRAM, session)?);
        // Not vital: what is in use stays in use.
        let identity = Spec {
            vital: false,
            stores: true,
            after: Some("netd"),
            takes: &[],
            ..spec("identity")
        };
        let mut identity = service(TLS_PROGRAM, identity)?;
        if let Some((_, owner)) = &mut identity.confined {
            // The forwarder's group may read the certificates in use.
            owner.group = user_of("forward")?.1.group;
        }
        list.push(identity);
        // Not after the relay: reports are taken and kept though nothing gets out.
        let forward = Spec {
            after: Some("netd"),
            takes: &["ingest@", CHANGED],
            ..spec("forward")
        };
        list.push(service(TLS_PROGRAM, forward)?);
        // Not vital: a box that cannot tell of itself still does its work.
        let web = Spec {
            after: Some("netd"),
            takes: &["web@", CHANGED],
            vital: false,
            ..spec("web")
        };
        list.push(service(TLS_PROGRAM, web)?);
        // Not vital: the trail is kept, and carried out when it works again.
        let trail = Spec {
            vital: false,
            after: Some("netd"),
            takes: &[CHANGED],
            ..spec("trail")
        };
        let mut trail = service(TLS_PROGRAM, trail)?;
        if let Some((_, owner)) = &mut trail.confined {
            // The forwarder's group may read the keys.
            owner.group = user_of("forward")?.1.group;
        }
        list.push(trail);
        // Not vital: reports come first. What an update's trial needs of it is held to a time by init itself.
        let update = Spec {
            vital: false,
            after: Some("netd"),
            takes: &["slot@", CHANGED],
            restarts: true,
            ..spec("update")
        };
        let mut update = service(TLS_PROGRAM, update)?;
        if let Some((_, owner)) = &mut update.confined {
            // The forwarder's group may read the keys, and nothing of the forwarder's.
            owner.group = user_of("forward")?.1.group;
        }
        list.push(update);
    }
    list.extend(debug_shell());
    Ok(list)
}

/// The `debug` overlay's program on the second serial line; an image that has one says that it is for development.
fn debug_shell() -> Option<Service> {
    let line = std::fs::read_to_string(DEBUG_SHELL).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let program = words.next()?;
    log::warn!("a debug shell is on the second serial line: this image is for development only");
    Some(Service {
        spec: Spec {
            name: "debug-shell",
            vital: false,
            after: None,
            stores: false,
            takes: &[],
            restarts: false,
            speaks: false,
        },
        program: program.into(),
        arguments: words.collect(),
        confined: None,
        terminal: Some("/dev/ttyS1".into()),
    })
}

/// Leaves the data partition clean.
fn shut_down() {
    log::info!("stage shutdown");
    rustix::fs::sync();
    if unmount(paths::DATA, UnmountFlags::empty()).is_ok() {
        return;
    }
    // Somebody still holds it: read-only is as clean.
    std::thread::sleep(Duration::from_millis(100));
    if unmount(paths::DATA, UnmountFlags::empty()).is_err() {
        let _ = mount_remount(paths::DATA, MountFlags::RDONLY, c"");
    }
}

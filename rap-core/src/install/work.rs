//! The installer's work, from the first look at the disks to the end.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::boot::disk::{Disk, DiskError};
use crate::build_info::BuildInfo;
use crate::flash::{self, FlashError, Phase, Plan};
use crate::paths;

use super::candidate::{Candidate, Choice, look, size};
use super::dialogue::{Dialogue, Step, unattended};
use super::package::{Package, PackageError};
use super::progress::Progress;
use super::screen::Screen;
use super::{Order, OrderError};

/// How long the same disks have to be there before they count as all.
const SETTLED: Duration = Duration::from_secs(3);
/// How long they may come and go.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last words stay before the computer goes off.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How an installer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The computer restarts.
    Restart,
    /// It goes off.
    Off,
}

/// Why there is nothing that could be installed.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error("cannot read {}", paths::INSTALLER)]
    Order(#[source] std::io::Error),
    #[error(transparent)]
    Wrong(#[from] OrderError),
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Installs, and comes back when somebody wants the computer restarted or off. `feed` puts the watchdog off.
pub(crate) fn run(build: &BuildInfo, feed: &dyn Fn()) -> End {
    let mut screen = Screen::open();
    let about = format!(
        "\nRAP installer: version {}, build {:.12}\n",
        build.version, build.build_id
    );
    screen.say(&about);
    let (order, package) = match prepare(feed) {
        Ok(found) => found,
        Err(error) => {
            let words = format!("{:#}", anyhow::Error::from(error));
            log::error!("nothing can be installed: {words}");
            screen.say(&format!(
                "Nothing can be installed: {words}\nEnter: switch off\n> "
            ));
            screen.line(feed);
            return End::Off;
        }
    };
    let work = Work {
        build,
        order,
        package: &package,
        feed,
    };
    if work.order.unattended {
        work.alone(&mut screen)
    } else {
        work.with_somebody(&mut screen)
    }
}

fn prepare(feed: &dyn Fn()) -> Result<(Order, Package), Useless> {
    let order = Order::parse(&std::fs::read(paths::INSTALLER).map_err(Useless::Order)?)?;
    let package = Package::open(Path::new(paths::PACKAGE), &order, feed)?;
    Ok((order, package))
}

struct Work<'a> {
    build: &'a BuildInfo,
    order: Order,
    package: &'a Package,
    feed: &'a dyn Fn(),
}

impl Work<'_> {
    /// Nobody is asked: the one disk is written to, and the computer goes off. What cannot be done is said, and stays on
    /// the screen: a computer that is off has its appliance.
    fn alone(&self, screen: &mut Screen) -> End {
        loop {
            let choice = settled(self.feed);
            let words = match unattended(&choice, self.order.replace) {
                Ok(candidate) => {
                    screen.say(&format!("Writing to {}\n", candidate.words()));
                    match self.write(candidate, screen) {
                        Ok(()) => {
                            screen.say("The computer goes off. Pull the medium out before it is switched on again.\n");
                            pause(LAST_WORDS, self.feed);
                            return End::Off;
                        }
                        Err(error) => failure(candidate, error),
                    }
                }
                Err(why) => {
                    log::error!("nothing was written: {why}");
                    format!("Nothing was written: {why}.\n")
                }
            };
            screen.say(&format!("{words}Enter: begin anew; off: switch off\n> "));
            if screen.line(self.feed).trim() == "off" {
                return End::Off;
            }
        }
    }

    /// Somebody says which disk, and types its name.
    fn with_somebody(&self, screen: &mut Screen) -> End {
        loop {
            let (mut dialogue, words) = Dialogue::begin(settled(self.feed));
            screen.say(&words);
            let candidate = loop {
                let (words, step) = dialogue.hear(&screen.line(self.feed));
                screen.say(&words);
                match step {
                    Step::Ask => {}
                    Step::Look => break None,
                    Step::Off => return End::Off,
                    Step::Write(candidate) => break Some(candidate),
                }
            };
            let Some(candidate) = candidate else { continue };
            match self.write(&candidate, screen) {
                Ok(()) => {
                    screen.say("Pull the medium out. Enter: restart; off: switch off\n> ");
                    let is_off = screen.line(self.feed).trim() == "off";
                    return if is_off { End::Off } else { End::Restart };
                }
                Err(error) => screen.say(&failure(&candidate, error)),
            }
        }
    }

    /// Writes, reads back, and writes the table last.
    fn write(&self, candidate: &Candidate, screen: &mut Screen) -> Result<(), FlashError> {
        let device = &candidate.device;
        let began = Instant::now();
        log::info!("installing to {}", candidate.words());
        let file = flash::open(&device.path)?;
        let disk = Fed {
            file: &file,
            feed: self.feed,
        };
        let plan = Plan::new(self.package, device.bytes);
        let shown = RefCell::new((Progress::new(plan.bytes()), screen));
        let tell = |phase: Phase, done: u64| {
            let (progress, screen) = &mut *shown.borrow_mut();
            if let Some(line) = progress.at(began.elapsed(), phase, done) {
                screen.say(&format!("{line}\n"));
            }
        };
        plan.write(&disk, &self.build.build_id, &tell)?;
        plan.verify(&disk, &tell)?;
        plan.finish(&disk)?;
        let words = format!(
            "installed to {} and read back: {} in {} s",
            device.name,
            size(plan.bytes()),
            began.elapsed().as_secs()
        );
        log::info!("{words}");
        shown.into_inner().1.say(&format!("The appliance is {words}.\n"));
        Ok(())
    }
}

/// What went wrong, for the log and for who is there.
fn failure(candidate: &Candidate, error: FlashError) -> String {
    let words = format!("{:#}", anyhow::Error::from(error));
    log::error!("{} was not installed to: {words}", candidate.device.name);
    format!("{} is not an appliance now: {words}.\n", candidate.device.name)
}

/// The disks, once none has come or gone for a while: some take seconds to appear.
fn settled(feed: &dyn Fn()) -> Choice {
    let began = Instant::now();
    let mut choice = look();
    let mut since = Instant::now();
    while since.elapsed() < SETTLED && began.elapsed() < PATIENCE {
        pause(Duration::from_millis(250), feed);
        let now = look();
        if now != choice {
            (choice, since) = (now, Instant::now());
        }
    }
    choice
}

fn pause(time: Duration, feed: &dyn Fn()) {
    feed();
    std::thread::sleep(time);
}

/// A disk each of whose operations puts the watchdog off: one that takes longer than its time is the watchdog's.
struct Fed<'a> {
    file: &'a File,
    feed: &'a dyn Fn(),
}

impl Disk for Fed<'_> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        (self.feed)();
        Disk::read_at(self.file, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        (self.feed)();
        Disk::write_at(self.file, bytes, offset)
    }

    fn flush(&self) -> Result<(), DiskError> {
        (self.feed)();
        self.file.flush()
    }
}

impl AsFd for Fed<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

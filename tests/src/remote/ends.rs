//! How sessions end on the booted box, each on its own, one session after the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::cast::{ASKS, Watched};
use super::{LONG, PIN, Story, site};
use crate::system::{BOOT, READY, Setup};

/// A session's whole time, and its silence, where that is what ends it; in seconds.
const SHORT: u64 = 40;
const IDLE: u64 = 6;

/// Tells each end, with the image of `setup`, which has the debug shell; `say` hears of each what ended it, how long the
/// screen was still seen, and what the service centre was told.
///
/// # Errors
/// With the console when anything is otherwise.
pub fn ends(setup: &Setup, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let (mut story, ()) = Story::begin(setup, site("10.9.0.10", ""), None, |_| Ok(()))?;
    story.tell(|story| {
        // One yes for all of them; a new one is needed only when the session service has ended.
        let watched = story.allowed()?;
        story.kill(watched, "OpenVPN is killed", "busybox pidof openvpn", say)?;
        let watched = story.asked(LONG)?;
        story.ended_by_the_centre(watched, say)?;
        let watched = story.asked(LONG)?;
        let relay = story.pid("relay")?;
        story.kill(watched, "the relay is killed", &format!("echo {relay}"), say)?;
        story.times_out(say)?;
        let watched = story.asked(LONG)?;
        let service = story.pid("session")?;
        let who = "the session service is killed";
        story.kill(watched, who, &format!("echo {service}"), say)?;
        story.loses_its_power(say)
    })
}

impl Story {
    /// A session that somebody said yes to before; its screen is watched.
    fn asked(&mut self, (seconds, idle): (u64, u64)) -> anyhow::Result<Watched> {
        self.cast.asks(&self.system, seconds, idle)?;
        self.connected()
    }

    /// As [`Self::asked`], and the person says yes for a time.
    fn allowed(&mut self) -> anyhow::Result<Watched> {
        self.cast.asks(&self.system, LONG.0, LONG.1)?;
        self.cast.person.sees(ASKS)?;
        self.cast.nothing_is_reached()?;
        self.cast.person.says(PIN, "for-a-time")?;
        self.connected()
    }

    fn connected(&self) -> anyhow::Result<Watched> {
        self.cast.person.sees("is connected to this instrument")?;
        self.cast.watches()
    }

    /// Kills the process that the shell's command `which` prints.
    fn kill(&mut self, watched: Watched, what: &str, which: &str, say: &dyn Fn(&str)) -> anyhow::Result<()> {
        self.system.shell(&format!("kill -9 $({which})"))?;
        self.over(what, watched, Instant::now(), "", say)
    }

    fn ended_by_the_centre(&mut self, watched: Watched, say: &dyn Fn(&str)) -> anyhow::Result<()> {
        let end = json!({ "do": "end-session", "session": self.cast.session() });
        self.cast.directs(&self.system, &end)?;
        let by = "ended by the service centre";
        self.over("the centre ends it", watched, Instant::now(), by, say)
    }

    /// The time of a session, then the time of its silence.
    fn times_out(&mut self, say: &dyn Fn(&str)) -> anyhow::Result<()> {
        let watched = self.asked((SHORT, LONG.1))?;
        self.cast.person.sees("its time is over")?;
        self.over(
            "its time is over",
            watched,
            Instant::now(),
            "its time is over",
            say,
        )?;
        self.cast.asks(&self.system, LONG.0, IDLE)?;
        let (begun, words) = (Instant::now(), format!("nothing passed for {IDLE} s"));
        self.cast.person.sees(&words)?;
        let heard = self.cast.centre_heard(&self.system)?;
        ensure!(
            begun.elapsed() >= Duration::from_secs(IDLE),
            "it ended early: {heard:?}"
        );
        say(&format!("nothing passes: told the centre \"{words}\""));
        Ok(())
    }

    /// The power goes in the middle. Nothing is open afterwards, and the yes for a time is gone with it.
    fn loses_its_power(&mut self, say: &dyn Fn(&str)) -> anyhow::Result<()> {
        let watched = self.allowed()?;
        self.system.machine.power_cut()?;
        let cut = Instant::now();
        self.system.machine.power_on()?;
        self.system.machine.wait_for(READY, BOOT)?;
        self.over("the power is cut", watched, cut, "restarted", say)?;
        let watched = self.allowed()?;
        self.cast.person.says_no()?;
        self.over(
            "and a new one, withdrawn",
            watched,
            Instant::now(),
            "withdrawn",
            say,
        )
    }

    /// The session is over since `end`, and everybody hears that it is, with `words`.
    fn over(
        &mut self,
        what: &str,
        watched: Watched,
        end: Instant,
        words: &str,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<()> {
        let alive = watched.dies(end)?;
        let heard = self.cast.centre_heard(&self.system)?;
        let (_, told) = heard.last().context("the centre heard nothing")?;
        ensure!(told.contains(words), "{what}: {heard:?}");
        self.cast.person.sees("Nobody asks to see this instrument")?;
        self.cast.nothing_is_reached()?;
        self.cast.trail_agrees(&self.system, &heard)?;
        say(&format!(
            "{what}: dead {:.2} s after it, told the centre \"{told}\"",
            alive.as_secs_f64()
        ));
        Ok(())
    }

    /// The process of a service.
    fn pid(&self, service: &str) -> anyhow::Result<u64> {
        let init = self.system.status("init")?;
        let services = init["services"].as_array().context("init tells of services")?;
        let found = services.iter().find(|one| one["name"] == service);
        found
            .and_then(|one| one["pid"].as_u64())
            .context("the service runs")
    }
}

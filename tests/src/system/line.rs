//! A slow line on the box's own uplink, by its kernel's `netem`: the debug image has it, many a laboratory's kernel does not.

use std::time::Duration;

use anyhow::ensure;

use super::System;

/// Packets that wait on the line: at 1500 bytes each some 5 s of 128 kbit/s, about what a modem holds.
const QUEUE: u32 = 64;

impl System {
    /// Lets a debug image's uplink carry `rate` bits a second each way, and each packet arrive `delay` later than it would.
    ///
    /// # Errors
    /// With what `tc` said.
    pub fn slow_uplink(&self, rate: u64, delay: Duration) -> anyhow::Result<()> {
        let line = format!(
            "root netem rate {rate}bit delay {}ms limit {QUEUE}",
            delay.as_millis()
        );
        // By its path: the shell has a tc of its own, which knows no netem.
        // What comes in is led through a link of its own, because a queue is something that packets leave.
        for command in [
            format!("/usr/sbin/tc qdisc add dev uplink {line}"),
            "busybox ip link set ifb0 up".to_owned(),
            format!("/usr/sbin/tc qdisc add dev ifb0 {line}"),
            "/usr/sbin/tc qdisc add dev uplink ingress".to_owned(),
            "/usr/sbin/tc filter add dev uplink parent ffff: matchall action mirred egress redirect dev ifb0"
                .to_owned(),
        ] {
            let answer = self.shell(&format!("{command} && echo line-$((1+1))"))?;
            ensure!(answer.contains("line-2"), "`{command}`: {answer}");
        }
        Ok(())
    }
}

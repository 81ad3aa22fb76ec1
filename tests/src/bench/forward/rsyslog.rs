//! rsyslog as it is set when nothing may be lost: RELP in, whose answer comes after the queue has the message, and a
//! queue on disk that is synced for each message. (A queue in memory with help of the disk answers earlier.)

use std::net::SocketAddr;
use std::path::Path;

use super::peer::{Peer, Peers, free_address};

/// Starts it on `directory`, which holds its queue; it forwards to `out`. `output` is for its own words.
pub(super) fn start(peers: &Peers, directory: &Path, out: SocketAddr, output: &Path) -> anyhow::Result<Peer> {
    let address = free_address()?;
    let configuration = output.with_extension("rsyslog.conf");
    std::fs::write(&configuration, text(directory, address, out))?;
    let mut command = peers.command("rsyslogd");
    command.arg("-n").arg("-f").arg(&configuration);
    command.arg("-i").arg(output.with_extension("rsyslog.pid"));
    command.arg("-M").arg(peers.libraries("usr/lib").join("rsyslog"));
    Peer::start(command, address, output)
}

fn text(directory: &Path, address: SocketAddr, out: SocketAddr) -> String {
    format!(
        r#"global(workDirectory="{directory}" maxMessageSize="8k")
module(load="imrelp" ruleset="kept")
input(type="imrelp" address="{ip}" port="{port}" maxDataSize="8k")
ruleset(name="kept" queue.type="disk" queue.filename="queue" queue.syncqueuefiles="on" queue.checkpointinterval="1"
        queue.maxDiskSpace="1g" queue.size="1000000" queue.saveOnShutdown="on") {{
  action(type="omfwd" target="{to}" port="{to_port}" protocol="tcp" action.resumeRetryCount="-1")
}}
"#,
        directory = directory.display(),
        ip = address.ip(),
        port = address.port(),
        to = out.ip(),
        to_port = out.port(),
    )
}

//! The socket around [`super::dhcp`], on a thread inside the port's namespace.
//!
//! It is bound to the device, so that a broadcast needs no route, and opened anew when the card is another one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use netfw::netns::Namespace;
use rustix::net::netdevice;
use tokio::net::UdpSocket;

use super::dhcp::Offer;
use super::stop::Stop;
use crate::site::Port;

const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// How long silence lasts before the card is looked at, and before a socket that could not be opened is tried again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts answering on `port` in `namespace`, whether its card is there or not, until told to stop.
pub(super) fn start(namespace: Namespace, port: &Port, stop: Stop) -> anyhow::Result<()> {
    let offer = Offer {
        gateway: port.address,
        instrument: port.instrument,
        mac: port.mac,
    };
    let device = port.name.to_string();
    let serve = move || {
        let ended = namespace.block_on(|| serve_until(&stop, &device, offer));
        if let Err(error) = ended {
            log::error!("{device}: no DHCP: {error}");
        }
    };
    std::thread::Builder::new()
        .name(format!("dhcp {}", port.name))
        .spawn(serve)
        .context("cannot start the DHCP thread")?;
    Ok(())
}

async fn serve_until(stop: &Stop, device: &str, offer: Offer) {
    while !stop.is_set() {
        // Without a card there is nothing to bind to; netd's status says so.
        if let Err(error) = serve(stop, device, offer).await {
            log::debug!("{device}: DHCP waits: {error}");
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Serves until told to stop, the card goes or the socket fails.
async fn serve(stop: &Stop, device: &str, offer: Offer) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER)).await?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.set_broadcast(true)?;
    let card = netdevice::name_to_index(&socket, device)?;
    let mut packet = [0; 2048];
    loop {
        match tokio::time::timeout(PATIENCE, socket.recv_from(&mut packet)).await {
            _ if stop.is_set() => return Ok(()),
            Err(_) if netdevice::name_to_index(&socket, device)? == card => {}
            Err(_) => return Ok(()),
            Ok(received) => {
                let (length, from) = received?;
                respond(&socket, device, offer, packet.get(..length).unwrap_or(&[]), from).await;
            }
        }
    }
}

async fn respond(socket: &UdpSocket, device: &str, offer: Offer, question: &[u8], from: SocketAddr) {
    if from.port() != CLIENT {
        return;
    }
    let Some(answer) = offer.answer(question) else {
        return;
    };
    let to = (answer.to, CLIENT);
    match socket.send_to(&answer.packet, to).await {
        Ok(_) => log::info!("{device}: DHCP {:?} of {}", answer.kind, offer.instrument),
        Err(error) => log::warn!("{device}: DHCP answer not sent: {error}"),
    }
}

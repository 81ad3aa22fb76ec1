//! The centre's side of TLS: its certificate, the boxes' certificates, and why one was refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rap_core::identity;
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// TLS with the files of `directory`. Sessions can be resumed.
pub(super) fn acceptor(directory: &Path) -> anyhow::Result<TlsAcceptor> {
    Ok(TlsAcceptor::from(Arc::new(config(directory)?)))
}

/// The same, for whoever serves in another way.
pub(crate) fn config(directory: &Path) -> anyhow::Result<rustls::ServerConfig> {
    let provider = identity::provider();
    let ca = directory.join("centre-ca.crt");
    let roots = identity::root_store(&identity::certificates(&ca)?, &ca)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let pair = identity::Pair::load(&directory.join("centre.crt"), &directory.join("centre.key"))?;
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pair.chain, pair.key)
        .with_context(|| format!("centre.key in {} does not fit centre.crt", directory.display()))
}

/// Why a handshake failed, in words.
pub(super) fn refusal(error: &std::io::Error) -> String {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoCertificatesPresented) => "it has no client certificate".to_owned(),
        Some(rustls::Error::InvalidCertificate(cause)) => {
            format!("its client certificate is not ours: {cause}")
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it refuses this centre's certificate: {alert:?}")
        }
        _ => error.to_string(),
    }
}

/// Lets the alert arrive: closing with unread data would reset the connection and destroy it.
pub(super) async fn linger(mut stream: TcpStream) {
    let mut sink = [0; 4096];
    let drain = async { while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}

//! The proxies' own configuration files.

use std::path::Path;

use super::{Kind, PASSWORD, Setup, USER};

/// [`PASSWORD`] as squid's `basic_ncsa_auth` reads it (apr1).
const NCSA: &str = "$apr1$rapbox00$pezJeOojYFQF85mb.HAZ20";
/// [`PASSWORD`] as crypt(5) writes it (sha512crypt).
const CRYPT: &str =
    "$6$rapbox00$yFEJile5Y5ulI/ig6QnVi3MSl5yP5gzShzu6GFQvwzkA8gTQt3tgEJwC8WlOgiptSm2osckU4pL0KfVMZy9xM.";

/// Writes what `kind` needs to the directory `place`; returns the program's arguments.
pub(super) fn write(kind: Kind, setup: &Setup, place: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::write(
        place.join("resolv.conf"),
        format!("nameserver {}\noptions timeout:2\n", setup.resolver),
    )?;
    let file = place.join("conf");
    let path = file.display().to_string();
    let text = match kind {
        Kind::Squid => squid(setup, place)?,
        Kind::Tinyproxy => tinyproxy(setup),
        Kind::Dante => dante(setup, place)?,
        Kind::Microsocks => {
            let mut arguments = vec!["-i".to_owned(), setup.address.to_string()];
            arguments.extend(["-p".to_owned(), kind.port().to_string()]);
            if setup.users {
                arguments.extend(["-u", USER, "-P", PASSWORD].map(str::to_owned));
            }
            return Ok(arguments);
        }
    };
    std::fs::write(&file, text)?;
    Ok(match kind {
        Kind::Squid => vec!["-N".to_owned(), "-f".to_owned(), path],
        Kind::Tinyproxy => vec!["-d".to_owned(), "-c".to_owned(), path],
        Kind::Dante | Kind::Microsocks => vec!["-f".to_owned(), path],
    })
}

fn squid(setup: &Setup, place: &Path) -> anyhow::Result<String> {
    let users = place.join("users");
    std::fs::write(&users, format!("{USER}:{NCSA}\n"))?;
    let (address, port, allowed) = (setup.address, Kind::Squid.port(), setup.allowed);
    let mut text = format!(
        "http_port {address}:{port}\n\
         visible_hostname proxy\n\
         pid_filename none\n\
         cache_log {log}\n\
         access_log none\n\
         cache deny all\n\
         memory_cache_shared off\n\
         netdb_filename none\n\
         pinger_enable off\n\
         dns_nameservers {resolver}\n\
         positive_dns_ttl 1 second\n\
         negative_dns_ttl 1 second\n\
         shutdown_lifetime 1 second\n\
         acl allowed port {allowed}\n",
        log = place.join("log").display(),
        resolver = setup.resolver,
    );
    if setup.users {
        text.push_str(&format!(
            "auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\n\
             auth_param basic credentialsttl 1 second\n\
             acl known proxy_auth REQUIRED\n\
             http_access deny !known\n",
            users.display()
        ));
    }
    text.push_str("http_access allow allowed\nhttp_access deny all\n");
    Ok(text)
}

fn tinyproxy(setup: &Setup) -> String {
    let mut text = format!(
        "Listen {}\nPort {}\nTimeout 600\nLogLevel Info\nConnectPort {}\n",
        setup.address,
        Kind::Tinyproxy.port(),
        setup.allowed
    );
    if setup.users {
        text.push_str(&format!("BasicAuth {USER} {PASSWORD}\n"));
    }
    text
}

fn dante(setup: &Setup, place: &Path) -> anyhow::Result<String> {
    let method = if setup.users { "username" } else { "none" };
    if setup.users {
        std::fs::write(
            place.join("passwd"),
            format!(
                "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n{USER}:x:4242:65534::/:/bin/false\n"
            ),
        )?;
        std::fs::write(
            place.join("shadow"),
            format!("root:*:1::::::\n{USER}:{CRYPT}:19000::::::\n"),
        )?;
    }
    Ok(format!(
        "logoutput: stderr\n\
         internal: {} port = {}\n\
         external: {}\n\
         clientmethod: none\n\
         socksmethod: {method}\n\
         user.privileged: root\n\
         user.unprivileged: nobody\n\
         client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n\
         socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = {} protocol: tcp }}\n\
         socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 log: connect error }}\n",
        setup.address,
        Kind::Dante.port(),
        setup.out,
        setup.allowed,
    ))
}

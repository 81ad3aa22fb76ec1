//! What is written into `nginx.conf`.

use std::net::SocketAddr;

use rap_qemu::lab::CENTRE_NAME;

use super::{Limits, STREAM_MODULE, Setup};

/// The whole file; paths in it are below nginx's prefix.
pub(super) fn text(setup: &Setup, listen: SocketAddr, upstream: SocketAddr) -> String {
    let root = rustix::process::geteuid().is_root();
    let body = match setup {
        Setup::Http(limits) => http(limits, listen, upstream),
        Setup::Stream => stream(listen, upstream),
    };
    format!(
        "{user}daemon off;\nmaster_process off;\npid pid;\nerror_log stderr warn;\n{module}\
         events {{ worker_connections 256; }}\n{body}",
        user = if root { "user root;\n" } else { "" },
        module = match setup {
            Setup::Http(_) => String::new(),
            Setup::Stream => format!("load_module {STREAM_MODULE};\n"),
        },
    )
}

fn http(limits: &Limits, listen: SocketAddr, upstream: SocketAddr) -> String {
    let (zone, limit) = match limits.rate {
        Some((rate, status)) => (
            format!("    limit_req_zone all zone=all:1m rate={rate}r/s;\n    limit_req_status {status};\n"),
            "        limit_req zone=all;\n",
        ),
        None => (String::new(), ""),
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path {what};\n"))
        .concat();
    format!(
        "http {{
{temporary}{zone}    log_format status '$status';
    access_log access.log status;
    upstream centre {{
        server {upstream};
        keepalive 4;
    }}
    server {{
        listen {listen} ssl;
        ssl_certificate centre.crt;
        ssl_certificate_key centre.key;
        ssl_client_certificate centre-ca.crt;
        ssl_verify_client on;
        client_max_body_size {body};
{limit}        location / {{
            proxy_pass https://centre;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_ssl_certificate device.crt;
            proxy_ssl_certificate_key device.key;
            proxy_ssl_trusted_certificate centre-ca.crt;
            proxy_ssl_name {CENTRE_NAME};
            proxy_ssl_verify on;
            proxy_connect_timeout {patience}ms;
            proxy_send_timeout {patience}ms;
            proxy_read_timeout {patience}ms;
        }}
    }}
}}
",
        body = limits.body,
        patience = limits.patience.as_millis(),
    )
}

fn stream(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "stream {{
    server {{
        listen {listen};
        proxy_pass {upstream};
    }}
}}
"
    )
}

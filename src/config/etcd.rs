//! The section `etcd`: where its members are, who asks, and how the connection is secured.

use std::time::Duration;

use super::address::address;
use super::section::{FileContent, Section};
use super::{EtcdConfig, TlsConfig};

/// Where a server listens unless told otherwise.
const PORT: u16 = 2379;

/// Reads the section; what is wrong is added to its problems.
pub(super) fn read_etcd(mut section: Section<'_>) -> EtcdConfig {
    let (endpoints, scheme) = read_endpoints(&mut section);
    let credentials = read_credentials(&mut section);
    let tls = read_tls(&mut section, scheme);
    let timeout = section
        .seconds("timeout", false)
        .unwrap_or(Duration::from_secs(5));
    section.finish();
    EtcdConfig {
        endpoints,
        credentials,
        tls,
        timeout,
    }
}

/// What the schemes of the endpoints say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Unsaid,
    Http,
    Https,
    Both,
}

fn read_endpoints(section: &mut Section<'_>) -> (Vec<String>, Scheme) {
    let host = section.text("host");
    let port = section.integer("port", 1, 65535);
    let Some(urls) = section.texts("endpoints") else {
        return (vec![host_and_port(section, host, port)], Scheme::Unsaid);
    };
    if host.is_some() || port.is_some() {
        section.problem(
            "endpoints",
            "given beside 'host' or 'port'. Give either the list or the pair.",
        );
    }
    if urls.is_empty() {
        section.problem(
            "endpoints",
            "expected at least one \"host:port\" or URL, got an empty list.",
        );
    }
    let mut endpoints = Vec::new();
    for (at, url) in urls.iter().enumerate() {
        match address(url, PORT) {
            Some(address) => endpoints.push(address),
            // It may hold a password, so it is not shown.
            None => section.problem(
                "endpoints",
                &format!(
                    "expected \"host:port\" or a URL without user and path; item {at} is neither."
                ),
            ),
        }
    }
    let says = |scheme: &str| urls.iter().any(|url| url.starts_with(scheme));
    let scheme = match (says("http://"), says("https://")) {
        (false, false) => Scheme::Unsaid,
        (true, false) => Scheme::Http,
        (false, true) => Scheme::Https,
        (true, true) => Scheme::Both,
    };
    (endpoints, scheme)
}

fn host_and_port(section: &mut Section<'_>, host: Option<String>, port: Option<u64>) -> String {
    let port = port.unwrap_or(u64::from(PORT));
    let host = host.unwrap_or_else(|| "localhost".into());
    // An IPv6 address may come without its brackets.
    let bare = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if bare { format!("[{host}]") } else { host };
    let endpoint = format!("{host}:{port}");
    if host.contains("//") || address(&endpoint, PORT).is_none() {
        section.problem(
            "host",
            "expected the name or the address of a host. A URL goes into 'endpoints'.",
        );
    }
    endpoint
}

fn read_credentials(section: &mut Section<'_>) -> Option<(String, String)> {
    let (has_username, has_password) = (section.gives("username"), section.gives("password"));
    let username = section.text("username");
    let password = section.text("password");
    if has_username != has_password {
        let (given, missing) = if has_username {
            ("username", "password")
        } else {
            ("password", "username")
        };
        section.problem(
            missing,
            &format!("required, since '{given}' is given. Authentication needs both."),
        );
    }
    username.zip(password)
}

fn read_tls(section: &mut Section<'_>, scheme: Scheme) -> Option<TlsConfig> {
    let use_ssl = section.boolean("use_ssl");
    let ca_certificate = section.file("ca_cert_file");
    let certificate = section.file("cert_file");
    let key = section.file("key_file");
    if certificate.is_given() != key.is_given() {
        let (given, missing) = if certificate.is_given() {
            ("cert_file", "key_file")
        } else {
            ("key_file", "cert_file")
        };
        section.problem(
            missing,
            &format!("required, since '{given}' is given. Mutual TLS needs both."),
        );
    }
    check_pem(section, "ca_cert_file", &ca_certificate, "CERTIFICATE-----");
    check_pem(section, "cert_file", &certificate, "CERTIFICATE-----");
    check_pem(section, "key_file", &key, "PRIVATE KEY-----");
    let files_given = ca_certificate.is_given() || certificate.is_given() || key.is_given();
    let secure = use_ssl == Some(true) || files_given || scheme == Scheme::Https;
    if use_ssl == Some(false) && files_given {
        section.problem(
            "use_ssl",
            "is false beside TLS files. Set it to true, or leave the files out.",
        );
    }
    if use_ssl == Some(false) && scheme == Scheme::Https {
        section.problem(
            "use_ssl",
            "is false beside an https:// URL. Set it to true, or leave it out.",
        );
    }
    if scheme == Scheme::Both || scheme == Scheme::Http && secure {
        section.problem(
            "endpoints",
            "has an http:// URL beside TLS. Write https://, or leave the scheme out.",
        );
    }
    secure.then(|| TlsConfig {
        ca_certificate: ca_certificate.read(),
        identity: certificate.read().zip(key.read()),
    })
}

/// A file without a line of this kind is the wrong file, or in another format.
fn check_pem(section: &mut Section<'_>, key: &'static str, file: &FileContent, mark: &str) {
    let has = |bytes: &[u8]| {
        bytes
            .windows(mark.len())
            .any(|some| some == mark.as_bytes())
    };
    if file.bytes().is_some_and(|bytes| !has(bytes)) {
        section.problem(
            key,
            &format!("the file has no line \"-----BEGIN ...{mark}\". Give it in PEM format."),
        );
    }
}

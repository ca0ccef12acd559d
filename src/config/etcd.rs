//! The section `etcd`: where its members are, who asks, and how the connection is secured.

use std::time::Duration;

use super::section::{FileContent, Section};
use super::{EtcdConfig, TlsConfig};

/// Where a server listens unless told otherwise.
const PORT: u64 = 2379;

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
    for url in &urls {
        match address(url) {
            Some(address) => endpoints.push(address),
            None => section.problem(
                "endpoints",
                &format!(
                    "expected \"host:port\" or a URL without user and path, got \"{}\".",
                    shown(url)
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
    let port = port.unwrap_or(PORT);
    let host = host.unwrap_or_else(|| "localhost".into());
    // An IPv6 address may come without its brackets.
    let bare = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if bare { format!("[{host}]") } else { host };
    let endpoint = format!("{host}:{port}");
    if host.contains("//") || address(&endpoint).is_none() {
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

/// An endpoint for a text: what may be a password in it is not shown.
fn shown(endpoint: &str) -> &str {
    endpoint.rsplit_once('@').map_or(endpoint, |(_, host)| host)
}

/// `host:port` of an endpoint. `None`: it is none.
fn address(endpoint: &str) -> Option<String> {
    let rest = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"))
        .unwrap_or(endpoint);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, u64::from(port.parse::<u16>().ok()?)),
        _ => (rest, PORT),
    };
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let strange = |c: char| c.is_whitespace() || "/@?#[]\\".contains(c);
    let name = inner.unwrap_or(host);
    let valid =
        !name.is_empty() && !name.contains(strange) && (inner.is_some() || !name.contains(':'));
    (valid && port > 0).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_a_port() {
        for (given, read) in [
            ("node:1", "node:1"),
            ("node", "node:2379"),
            ("https://node:1/", "node:1"),
            ("http://10.0.0.1", "10.0.0.1:2379"),
            ("[::1]:1", "[::1]:1"),
            ("https://[::1]", "[::1]:2379"),
        ] {
            assert_eq!(address(given).as_deref(), Some(read), "{given}");
        }
        for given in [
            "",
            ":1",
            "node:",
            "node:x",
            "node:0",
            "node:65536",
            "::1",
            "a b:1",
            "user:pw@node:1",
            "node:1/path",
        ] {
            assert_eq!(address(given), None, "{given}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_shown() {
        assert_eq!(shown("http://user:secret@node:1"), "node:1");
    }
}

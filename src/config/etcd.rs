//! The section `etcd`: where its members are, who asks, and how the connection is secured.

use super::address::address;
use super::given::FileContent;
use super::keys::etcd as keys;
use super::kinds::{File, Key};
use super::section::Section;
use super::{EtcdConfig, TlsConfig};

/// Reads the section; what is wrong is added to its problems.
pub(super) fn read_etcd(mut section: Section<'_>) -> EtcdConfig {
    let (endpoints, scheme) = read_endpoints(&mut section);
    let credentials = read_credentials(&mut section);
    let tls = read_tls(&mut section, scheme);
    let timeout = section
        .seconds(&keys::TIMEOUT)
        .unwrap_or(keys::TIMEOUT.kind.default);
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
    let host = section.text(&keys::HOST);
    let port = section.integer(&keys::PORT);
    let Some(urls) = section.texts(&keys::ENDPOINTS) else {
        return (vec![host_and_port(section, host, port)], Scheme::Unsaid);
    };
    section.check(&keys::ONE_PLACE);
    if urls.is_empty() {
        section.problem(
            keys::ENDPOINTS.name,
            "expected at least one \"host:port\" or URL, got an empty list.",
        );
    }
    let mut endpoints = Vec::new();
    for (at, url) in urls.iter().enumerate() {
        match address(url, keys::DEFAULT_PORT) {
            Some(address) => endpoints.push(address),
            // It may hold a password, so it is not shown.
            None => section.problem(
                keys::ENDPOINTS.name,
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
    let port = port.unwrap_or(keys::PORT.kind.default);
    let host = host.unwrap_or_else(|| keys::HOST.default().into());
    // An IPv6 address may come without its brackets.
    let bare = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if bare { format!("[{host}]") } else { host };
    let endpoint = format!("{host}:{port}");
    if host.contains("//") || address(&endpoint, keys::DEFAULT_PORT).is_none() {
        section.problem(
            keys::HOST.name,
            "expected the name or the address of a host. Its port goes into 'port', a URL into 'endpoints'.",
        );
    }
    endpoint
}

fn read_credentials(section: &mut Section<'_>) -> Option<(String, String)> {
    let username = section.text(&keys::USERNAME);
    let password = section.text(&keys::PASSWORD);
    section.check(&keys::CREDENTIALS);
    username.zip(password)
}

fn read_tls(section: &mut Section<'_>, scheme: Scheme) -> Option<TlsConfig> {
    let use_ssl = section.boolean(&keys::USE_SSL);
    let ca_certificate = section.file(&keys::CA_CERT_FILE);
    let certificate = section.file(&keys::CERT_FILE);
    let key = section.file(&keys::KEY_FILE);
    section.check(&keys::IDENTITY);
    check_pem(
        section,
        &keys::CA_CERT_FILE,
        &ca_certificate,
        "CERTIFICATE-----",
    );
    check_pem(section, &keys::CERT_FILE, &certificate, "CERTIFICATE-----");
    check_pem(section, &keys::KEY_FILE, &key, "PRIVATE KEY-----");
    let files_given = ca_certificate.is_given() || certificate.is_given() || key.is_given();
    let secure = use_ssl == Some(true) || files_given || scheme == Scheme::Https;
    if use_ssl == Some(false) && files_given {
        section.problem(
            keys::USE_SSL.name,
            "is false beside TLS files. Set it to true, or leave the files out.",
        );
    }
    if use_ssl == Some(false) && scheme == Scheme::Https {
        section.problem(
            keys::USE_SSL.name,
            "is false beside an https:// URL. Set it to true, or leave it out.",
        );
    }
    if scheme == Scheme::Both || scheme == Scheme::Http && secure {
        section.problem(
            keys::ENDPOINTS.name,
            "has an http:// URL beside TLS. Write https://, or leave the scheme out.",
        );
    }
    secure.then(|| TlsConfig {
        ca_certificate: ca_certificate.read(),
        identity: certificate.read().zip(key.read()),
    })
}

/// A file without a line of this kind is the wrong file, or in another format.
fn check_pem(section: &mut Section<'_>, key: &Key<File>, file: &FileContent, mark: &str) {
    let has = |bytes: &[u8]| {
        bytes
            .windows(mark.len())
            .any(|some| some == mark.as_bytes())
    };
    if file.bytes().is_some_and(|bytes| !has(bytes)) {
        section.problem(
            key.name,
            &format!("the file has no line \"-----BEGIN ...{mark}\". Give it in PEM format."),
        );
    }
}

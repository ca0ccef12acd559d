//! Where a server is: `host:port`, out of what people write.

/// What [`address`] takes, but for the largest port, as a regular expression for editors.
pub(super) const ENDPOINT_PATTERN: &str =
    r"^(https?://)?([^\s\u0000/@?#\[\]\\:]+|\[[^\s\u0000/@?#\[\]\\]+\])(:0*[1-9][0-9]{0,4})?/?$";
/// The same of a host alone, which may also be an IPv6 address without its brackets.
pub(super) const HOST_PATTERN: &str = r"^([^\s\u0000/@?#\[\]\\:]+|\[[^\s\u0000/@?#\[\]\\]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$";
/// The same of a URL, which may have a path.
pub(super) const URL_PATTERN: &str = r"^https?://([^\s\u0000/@?#\[\]\\:]+|\[[^\s\u0000/@?#\[\]\\]+\])(:0*[1-9][0-9]{0,4})?(/[^@ \u0000]*)?$";

/// `host:port` of an endpoint. `None`: it is none.
pub(super) fn address(endpoint: &str, default_port: u16) -> Option<String> {
    let rest = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"))
        .unwrap_or(endpoint);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, port_number(port)?),
        _ => (rest, default_port),
    };
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let strange = |c: char| c.is_whitespace() || "\0/@?#[]\\".contains(c);
    let name = inner.unwrap_or(host);
    let valid =
        !name.is_empty() && !name.contains(strange) && (inner.is_some() || !name.contains(':'));
    (valid && port > 0).then(|| format!("{host}:{port}"))
}

/// A sign is no part of a port, though Rust would read it.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Whether it leads to a host, by HTTP or HTTPS, and holds no user.
pub(super) fn is_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or(rest));
    host.is_some_and(|host| address(host, 80).is_some()) && !url.contains(['@', ' '])
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
            assert_eq!(address(given, 2379).as_deref(), Some(read), "{given}");
        }
        for given in [
            "",
            ":1",
            "node:",
            "node:x",
            "node:0",
            "node:65536",
            "node:+1",
            "::1",
            "a b:1",
            "a\0b:1",
            "user:pw@node:1",
            "node:1/path",
        ] {
            assert_eq!(address(given, 2379), None, "{given}");
        }
    }
}

//! Where a server is: `host:port`, out of what people write.

/// `host:port` of an endpoint. `None`: it is none.
pub(super) fn address(endpoint: &str, default_port: u16) -> Option<String> {
    let rest = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"))
        .unwrap_or(endpoint);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()?),
        _ => (rest, default_port),
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
            assert_eq!(address(given, 2379).as_deref(), Some(read), "{given}");
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
            assert_eq!(address(given, 2379), None, "{given}");
        }
    }
}

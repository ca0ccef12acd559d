//! A configuration file as text: what is wrong with its JSON, where, and what to write instead.

use super::tree::Tree;

/// Words of other languages, and what to write for them.
const WORDS: [(&str, &str); 8] = [
    ("True", "In JSON it is true."),
    ("TRUE", "In JSON it is true."),
    ("False", "In JSON it is false."),
    ("FALSE", "In JSON it is false."),
    ("None", NOTHING),
    ("undefined", NOTHING),
    ("NaN", "JSON has no such number."),
    ("Infinity", "JSON has no such number."),
];
const NOTHING: &str = "In JSON it is null, which no key takes: leave the key out.";

/// Reads the text of a file. The error goes on after the name of the file.
pub(super) fn parse(bytes: &[u8]) -> Result<Tree, String> {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] = bytes {
        return Err("is UTF-16 or UTF-32. Save it as UTF-8.".to_owned());
    }
    // Some editors begin a file with a mark of its encoding.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place_of(bytes, error.valid_up_to());
        format!("is not UTF-8, from line {line} column {column} on. Save it as UTF-8.")
    })?;
    if text.trim().is_empty() {
        return Err(
            "is empty. Write {} for the defaults, or sections: {\"local\": {\"filepath\": ...}}."
                .to_owned(),
        );
    }
    serde_json::from_str(text).map_err(|error| {
        let (what, at) = (what(&error), offset(text, &error));
        let (line, column) = place_of(bytes, at);
        let advice = advice(&what, &text[..at], &text[at..]);
        let blank = if advice.is_empty() { "" } else { " " };
        format!("is not valid JSON: {what} at line {line} column {column}.{blank}{advice}")
    })
}

/// Line and column of a byte, counted as editors do: from one, in characters.
fn place_of(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = bytes.get(..at).unwrap_or(bytes);
    let lines: Vec<&[u8]> = before.split(|&byte| byte == b'\n').collect();
    let column = lines
        .last()
        .map_or(0, |line| String::from_utf8_lossy(line).chars().count());
    (lines.len(), column + 1)
}

/// The place of the character that the parser stopped at. At the end of a line it counts a column 0 of the next.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let at = (before + error.column()).saturating_sub(1).min(text.len());
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let at = (0..=at).rev().find(boundary).unwrap_or(0);
    if !error.to_string().starts_with("expected ident") {
        return at;
    }
    // It stops in the middle of a word, or behind it.
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let (before, _) = text.split_at(at);
    before.trim_end().trim_end_matches(is_letter).len()
}

/// What the parser says, in words for those who know no parser.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    match text {
        "expected value" | "expected ident" => "expected a value".to_owned(),
        "key must be a string" => "expected a key in double quotes".to_owned(),
        "trailing characters" => "there is more text after the end of the object".to_owned(),
        "recursion limit exceeded" => "nested too deeply".to_owned(),
        _ => match text.strip_prefix("EOF while parsing ") {
            Some(what) => format!("the file ends in the middle of {what}"),
            None if text.starts_with("control character") => {
                "a line end, a tab or another control character in a string".to_owned()
            }
            None => text.to_owned(),
        },
    }
}

/// What to write instead, by the text before and after the place. Empty: nobody knows. Nothing of the file is
/// shown, since it may be a secret.
fn advice(what: &str, before: &str, rest: &str) -> &'static str {
    let word: &str = rest
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or("");
    if what.starts_with("the file ends") {
        return "Close what is open: is a }, a ] or a \" missing?";
    }
    if what.starts_with("trailing comma") {
        return "Leave out the comma before it.";
    }
    if what.starts_with("invalid escape") {
        return "A backslash is written twice in a string; paths may have / instead.";
    }
    if what.starts_with("a line end") {
        return "Is a \" missing? Else write \\n or \\t.";
    }
    if what.starts_with("nested") {
        return "A configuration has three levels.";
    }
    if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#') {
        return "JSON has no comments: leave it out.";
    }
    if rest.starts_with('\'') {
        return "Write double quotes instead of single ones.";
    }
    if rest.starts_with(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) {
        return "Write plain double quotes instead of typographic ones.";
    }
    if rest.starts_with("${") {
        return "Put it into double quotes: \"${NAME}\".";
    }
    if let Some((_, advice)) = WORDS.iter().find(|(known, _)| *known == word) {
        return advice;
    }
    if rest.starts_with(['+', '.']) {
        return "A number begins with a digit, or with - and a digit.";
    }
    if what.starts_with("invalid number") || before.ends_with('0') && !word.is_empty() {
        return "A number has no leading zero. Permission bits are text, such as \"0600\".";
    }
    // YAML, TOML, INI and the like.
    if before.trim().is_empty() && !rest.starts_with(['{', '[', '"'])
        || before.trim() == "[" && !word.is_empty()
    {
        return "A configuration file is one object: {...}.";
    }
    if what.starts_with("expected a key") {
        return "Put the key into double quotes.";
    }
    if what.starts_with("expected `:`") {
        return "Put a colon between the key and its value.";
    }
    if what.starts_with("expected `,`") {
        return "Is a comma missing before it?";
    }
    if what.starts_with("there is more") {
        return "Is there a } too early?";
    }
    if what.starts_with("expected a value") && !word.is_empty() {
        return "Put text into double quotes; other words are true and false alone.";
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text, and what is said of it.
    const WRONG: &[(&str, &str)] = &[
        (
            "{'debug': true}",
            "expected a key in double quotes at line 1 column 2. Write double quotes",
        ),
        (
            "{\"errors\": 'log'}",
            "expected a value at line 1 column 12. Write double quotes",
        ),
        (
            "{\n  \"debug\": true,\n}",
            "trailing comma at line 3 column 1. Leave out the comma",
        ),
        (
            "{\n  // no\n  \"debug\": true}",
            "expected a key in double quotes at line 2 column 3. JSON has no comments",
        ),
        (
            "# no\n{}",
            "expected a value at line 1 column 1. JSON has no comments",
        ),
        (
            "{\"debug\": /* no */ true}",
            "expected a value at line 1 column 11. JSON has no comments",
        ),
        (
            "{\"debug\": True}",
            "expected a value at line 1 column 11. In JSON it is true.",
        ),
        (
            "{\"etcd\": None}",
            "expected a value at line 1 column 10. In JSON it is null",
        ),
        (
            "{debug: true}",
            "expected a key in double quotes at line 1 column 2. Put the key into",
        ),
        (
            "{\u{201c}debug\u{201d}: true}",
            "expected a key in double quotes at line 1 column 2. Write plain double quotes",
        ),
        (
            "{\"ü\": 1, \"debug\": ${DEBUG}}",
            "expected a value at line 1 column 19. Put it into double quotes",
        ),
        (
            "{\"debug\": true",
            "the file ends in the middle of an object at line 1 column 14. Close what is open",
        ),
        (
            "{\"debug\": true\n",
            "the file ends in the middle of an object at line 1 column 15. Close what is open",
        ),
        (
            "{\"debug\": true\n \"errors\": \"log\"}",
            "expected `,` or `}` at line 2 column 2. Is a comma missing",
        ),
        (
            "{\"debug\" = true}",
            "expected `:` at line 1 column 10. Put a colon",
        ),
        (
            "{\"etcd\": {\"timeout\": .5}}",
            "expected a value at line 1 column 22. A number begins with a digit",
        ),
        (
            "{\"debug\": truth}",
            "expected a value at line 1 column 11. Put text",
        ),
        (
            "{\"debug\": tru\n}",
            "expected a value at line 1 column 11. Put text into double quotes",
        ),
        (
            "{} {}",
            "there is more text after the end of the object at line 1 column 4. Is",
        ),
        (
            "{\"local\": {\"mode\": 0600}}",
            "invalid number at line 1 column 21. A number has no leading zero",
        ),
        (
            "{\"local\": {\"filepath\": \"C:\\Users\"}}",
            "invalid escape at line 1 column 28. A backslash is written twice",
        ),
        (
            "{\"local\": {\"filepath\": \"a\n\"}}",
            "a line end, a tab or another control character in a string at line 1 column 26. Is",
        ),
        (
            "[local]\nfilepath = 1",
            "expected a value at line 1 column 2. A configuration file is one",
        ),
        (
            "debug: true",
            "expected a value at line 1 column 1. A configuration file is one",
        ),
    ];

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_to_write() {
        for (text, said) in WRONG {
            let error = parse(text.as_bytes()).unwrap_err();
            let expected = format!("is not valid JSON: {said}");
            assert!(error.starts_with(&expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_text_at_all_is_said() {
        for empty in [&b""[..], b" \n", b"\xef\xbb\xbf"] {
            assert!(parse(empty).unwrap_err().starts_with("is empty. Write {}"));
        }
        let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for text in [&b"\xff\xfe{\0}\0"[..], b"{\0}\0", &utf16] {
            assert!(parse(text).unwrap_err().ends_with("Save it as UTF-8."));
        }
        let latin = parse(b"{\n\"errors\": \"\xfc\"}").unwrap_err();
        assert_eq!(
            latin,
            "is not UTF-8, from line 2 column 12 on. Save it as UTF-8."
        );
    }

    #[test]
    fn nothing_of_the_file_is_shown() {
        for text in [
            "{\"password\": hunter2}",
            "{hunter2}",
            "{\"password\": \"hunter2",
        ] {
            assert!(!parse(text.as_bytes()).unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn any_place_of_the_parser_is_one_of_the_text() {
        for text in [
            "é",
            "{é",
            "{\"é\" é",
            "{\"a\": \"é\n",
            "\n\n",
            "{\n\n",
            "[\"\\é\"",
            "{\"a\":é}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}

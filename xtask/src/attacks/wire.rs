//! A client of a NATS server that sends what the program would not: it speaks as much of the protocol as attacks need.

use super::guests::{put, put_number};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a server or an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bucket of modules, and the size of the pieces in it.
const MODULES: &str = "RWC_MODULES";
const PIECE: usize = (1 << 20) - (4 << 10);

pub(super) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let address = url.strip_prefix("nats://").context("it is a plain URL")?;
        let stream = TcpStream::connect(address).context("the server cannot be reached")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut wire = Self(BufReader::new(stream));
        wire.line()?;
        wire.send(b"CONNECT {\"verbose\":false}\r\n")?;
        Ok(wire)
    }

    pub(super) fn publish(&mut self, subject: &str, payload: &[u8]) -> Result<()> {
        self.send(format!("PUB {subject} {}\r\n", payload.len()).as_bytes())?;
        self.send(payload)?;
        self.send(b"\r\n")
    }

    pub(super) fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.send(format!("SUB {subject} 1\r\n").as_bytes())?;
        self.flush()
    }

    /// Waits until the server has read everything.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        while self.line()?.trim() != "PONG" {}
        Ok(())
    }

    /// The next message of those subscribed to, without its headers.
    pub(super) fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            let line = self.line()?;
            let mut words = line.split_whitespace().rev();
            let (is_plain, has_headers) = (line.starts_with("MSG "), line.starts_with("HMSG "));
            if !is_plain && !has_headers {
                continue;
            }
            let mut length = || words.next().and_then(|word| word.parse::<usize>().ok());
            let total = length().context("a message has a length")?;
            let headers = if has_headers { length() } else { Some(0) };
            let mut payload = vec![0; total + 2];
            self.0.read_exact(&mut payload)?;
            payload.truncate(total);
            return Ok(payload.split_off(headers.unwrap_or_default().min(total)));
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.0.get_mut().write_all(bytes);
        sent.context("the server has closed the connection")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self
            .0
            .read_line(&mut line)
            .context("the server is silent")?
            == 0
        {
            bail!("the server has closed the connection");
        }
        if line.starts_with("-ERR") {
            bail!("the server says {}", line.trim());
        }
        if line.starts_with("PING") {
            self.send(b"PONG\r\n")?;
        }
        Ok(line)
    }

    /// Stores a module that no client of ours would send; returns its hash. `scratch` is a file for it.
    pub(super) fn store(&mut self, module: &[u8], scratch: &Path) -> Result<String> {
        put(scratch, module)?;
        let sum = shell::answer(Command::new("sha256sum").arg(scratch));
        let sum = sum.context("cannot run `sha256sum`, which coreutils has")?;
        let hash = sum.get(..64).context("a hash has 64 digits")?.to_owned();
        let digest = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&hash[at..at + 2], 16));
        let digest = base64(&digest.collect::<Result<Vec<_>, _>>()?);
        for piece in module.chunks(PIECE) {
            self.publish(&format!("$O.{MODULES}.C.{hash}"), piece)?;
        }
        let info = format!(
            r#"{{"name":"{hash}","bucket":"{MODULES}","nuid":"{hash}","size":{},"chunks":{},"digest":"SHA-256={digest}"}}"#,
            module.len(),
            module.len().div_ceil(PIECE),
        );
        let name = base64(hash.as_bytes());
        self.publish(&format!("$O.{MODULES}.M.{name}"), info.as_bytes())?;
        self.flush()?;
        Ok(hash)
    }
}

/// A message that asks for another module than the one for which it was made.
pub(super) fn with_module(message: &[u8], hash: &str) -> Result<Vec<u8>> {
    const BEFORE: &[u8] = b"\"module\":\"";
    let at = message
        .windows(BEFORE.len())
        .position(|part| part == BEFORE);
    let start = at.context("a message names its module")? + BEFORE.len();
    let mut changed = message.to_vec();
    let place = changed.get_mut(start..start + hash.len());
    place
        .context("the name is a hash")?
        .copy_from_slice(hash.as_bytes());
    Ok(changed)
}

/// A cancel of as many tasks as one may name, with long names.
pub(super) fn cancel(number: u64) -> Vec<u8> {
    const NAMES: u32 = 4096;
    const LENGTH: u32 = 240;
    let mut payload = Vec::new();
    put_number(&mut payload, NAMES);
    for name in 0..NAMES {
        let name = format!("{number}x{name:0>width$}", width = LENGTH as usize - 20);
        put_number(
            &mut payload,
            u32::try_from(name.len()).expect("names are short"),
        );
        payload.extend(name.as_bytes());
    }
    payload
}

/// The alphabet of URLs, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let byte = |at: usize| u32::from(part.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 0x3f;
            text.push(if digit <= part.len() {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_server_wants_them() {
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab?"), "YWI_");
        assert_eq!(base64(b"abcd"), "YWJjZA==");
    }

    #[test]
    fn the_module_of_a_message_is_changed() {
        let changed = with_module(br#"x{"module":"0000","more":1}"#, "abcd");
        assert_eq!(
            changed.expect("it names one"),
            br#"x{"module":"abcd","more":1}"#
        );
    }
}

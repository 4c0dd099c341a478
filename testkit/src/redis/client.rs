//! As much of RESP2 as a test needs: one command, one reply, as text.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// One connection.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// The reply as text; an error reply is an [`io::Error`] of kind `Other`.
    pub(super) fn command(&mut self, words: &[&str]) -> io::Result<String> {
        self.stream.get_mut().write_all(&request(words))?;
        read_reply(&mut self.stream)
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

/// Arrays come as one line an element, nil as `(nil)`.
fn read_reply(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line
        .strip_suffix("\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let Some((kind, rest)) = line.split_at_checked(1) else {
        return Err(malformed(line));
    };
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "-" => Err(io::Error::other(rest.to_owned())),
        "$" | "*" if rest == "-1" => Ok("(nil)".to_owned()),
        "$" => {
            let length: usize = rest.parse().map_err(|_| malformed(line))?;
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let length: usize = rest.parse().map_err(|_| malformed(line))?;
            let elements = (0..length)
                .map(|_| read_reply(stream))
                .collect::<io::Result<Vec<_>>>()?;
            Ok(elements.join("\n"))
        }
        _ => Err(malformed(line)),
    }
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a RESP2 reply: {line:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(mut bytes: &[u8]) -> Result<String, String> {
        read_reply(&mut bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_reply_becomes_text() {
        assert_eq!(reply(b"+PONG\r\n").as_deref(), Ok("PONG"));
        assert_eq!(reply(b":-7\r\n").as_deref(), Ok("-7"));
        assert_eq!(reply(b"$4\r\na\r\nb\r\n").as_deref(), Ok("a\r\nb"));
        assert_eq!(reply(b"$0\r\n\r\n").as_deref(), Ok(""));
        assert_eq!(reply(b"$-1\r\n").as_deref(), Ok("(nil)"));
        assert_eq!(
            reply(b"*3\r\n:1\r\n$1\r\nx\r\n*-1\r\n").as_deref(),
            Ok("1\nx\n(nil)")
        );
        assert_eq!(
            reply(b"-ERR unknown command\r\n"),
            Err("ERR unknown command".into())
        );
    }

    #[test]
    fn a_cut_or_foreign_reply_is_an_error() {
        for bytes in [
            &b""[..],
            b"+PON",
            b"$4\r\nab",
            b"\r\n",
            b"HTTP/1.1 400\r\n",
            b"$x\r\n",
        ] {
            assert!(reply(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        assert_eq!(
            request(&["SET", "é"]),
            "*2\r\n$3\r\nSET\r\n$2\r\né\r\n".as_bytes()
        );
    }
}

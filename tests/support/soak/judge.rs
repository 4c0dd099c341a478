//! The fenced resource: a server in the conductor that takes a write if no greater fence wrote before, and books what the
//! workers say of themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use leasehold::Env;
use serde::Serialize;

use crate::record::Record;
use crate::report::{Report, Stage, Verdict, Who, Why};
use crate::waits::Waits;

/// What one worker did, over all its lives.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) turns: u64,
    pub(crate) refused: u64,
    pub(crate) busy: u64,
    pub(crate) unavailable: u64,
    pub(crate) cancelled: u64,
    pub(crate) losses: BTreeMap<String, u64>,
}

/// All that is known.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) record: Record,
    pub(crate) waits: Waits,
    pub(crate) tallies: Vec<Tally>,
    /// Errors that are none of busy, unavailable and lost.
    pub(crate) wrong: Vec<String>,
    log: BufWriter<File>,
}

#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) port: u16,
    env: Env,
    book: Arc<Mutex<Book>>,
}

#[derive(Serialize)]
struct Line<'a> {
    at: u64,
    who: Who,
    report: &'a Report,
    verdict: Option<Verdict>,
}

impl Judge {
    /// Starts it, with everything it hears written to `log`.
    pub(crate) fn start(workers: usize, log: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        let log = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let book = Arc::new(Mutex::new(Book {
            record: Record::default(),
            waits: Waits::default(),
            tallies: vec![Tally::default(); workers],
            wrong: Vec::new(),
            log: BufWriter::new(log),
        }));
        let env = Env::system();
        let judge = Self {
            port,
            env: env.clone(),
            book: Arc::clone(&book),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (book, env) = (Arc::clone(&book), env.clone());
                std::thread::spawn(move || hear(stream, &book, &env));
            }
        });
        Ok(judge)
    }

    pub(crate) fn now(&self) -> u64 {
        self.env.now().as_nanos()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics holding it")
    }

    pub(crate) fn set_away(&self, worker: usize, is_away: bool) {
        let now = self.now();
        self.book().waits.set_away(now, worker, is_away);
    }
}

/// One task's reports, until it is gone. What a killed process had sent still counts.
fn hear(stream: TcpStream, book: &Mutex<Book>, env: &Env) {
    let Ok(mut replies) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(Ok(who)) = lines.next().map(|line| serde_json::from_str::<Who>(&line)) else {
        return;
    };
    for line in lines {
        // A line that was cut off by the end of its process says nothing.
        let Ok(report) = serde_json::from_str::<Report>(&line) else {
            break;
        };
        let mut book = book.lock().expect("nobody panics holding it");
        // After the lock was taken, so that the log's times rise.
        let now = env.now().as_nanos();
        let verdict = book.take(now, who, &report);
        drop(book);
        if let Some(verdict) = verdict {
            let mut reply = serde_json::to_string(&verdict).expect("it is plain data");
            reply.push('\n');
            if replies.write_all(reply.as_bytes()).is_err() {
                break;
            }
        }
    }
    let now = env.now().as_nanos();
    let mut book = book.lock().expect("nobody panics holding it");
    book.waits.gone(now, who);
}

impl Book {
    fn take(&mut self, at: u64, who: Who, report: &Report) -> Option<Verdict> {
        let tally = &mut self.tallies[who.worker];
        let mut verdict = None;
        match report {
            Report::Want { lock } => self.waits.want(at, lock, who),
            Report::Write(write) => {
                let given = self.record.write(who, write);
                if given == Verdict::Accepted && write.stage == Stage::Begin {
                    self.waits.got(at, &write.lock, who);
                    tally.turns += 1;
                }
                tally.refused += u64::from(given != Verdict::Accepted);
                verdict = Some(given);
            }
            Report::Over { lock, lost } => {
                self.waits.done(at, lock, who);
                if let Some(cause) = lost {
                    *tally.losses.entry(cause.clone()).or_default() += 1;
                }
            }
            Report::GaveUp { lock, why } => {
                self.waits.done(at, lock, who);
                match why {
                    Why::Busy => tally.busy += 1,
                    Why::Unavailable => tally.unavailable += 1,
                    Why::Cancelled => tally.cancelled += 1,
                }
            }
            Report::Wrong { text } => self.wrong.push(format!("{who}: {text}")),
        }
        self.log(&Line {
            at,
            who,
            report,
            verdict,
        });
        verdict
    }

    /// For whoever wants to know what happened.
    pub(crate) fn log(&mut self, line: &impl Serialize) {
        let line = serde_json::to_string(line).expect("it is plain data");
        // A full disk costs the record, and not the run.
        drop(writeln!(self.log, "{line}"));
    }

    pub(crate) fn turns(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.turns).sum()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.refused).sum()
    }

    pub(crate) fn losses(&self) -> u64 {
        (self.tallies.iter())
            .flat_map(|tally| tally.losses.values())
            .sum()
    }

    /// Writes out what is known so far.
    pub(crate) fn flush(&mut self) {
        drop(self.log.flush());
    }
}

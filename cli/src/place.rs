//! Which store, and which part of it.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use leasehold::core::Builder;
use leasehold::core::store::Connector;
use leasehold::{Coordinator, SqliteStore};

use crate::exit::Failure;

const NAMESPACE: &str = "default";

const STORE: &str = "The store: sqlite:PATH, redis://HOST[:PORT][/DB] or rediss://... [default: the file \
                     leasehold/leasehold.db in $XDG_STATE_HOME, or else in ~/.local/state; for bench none]";

/// Where leases are kept.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The store.
    #[arg(
        long,
        help = STORE,
        value_name = "URL",
        env = "LEASEHOLD_STORE",
        hide_env_values = true,
        global = true
    )]
    pub(crate) store: Option<String>,

    /// The application's part of the store [default: default, for bench leasehold-bench]
    #[arg(
        long,
        value_name = "NS",
        env = "LEASEHOLD_NAMESPACE",
        hide_env_values = true,
        global = true
    )]
    pub(crate) namespace: Option<String>,
}

impl Place {
    /// A client of it, not connected yet.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let namespace = self.namespace.as_deref().unwrap_or(NAMESPACE);
        Ok(Coordinator::builder_dyn(self.connector()?, namespace))
    }

    /// The store itself.
    pub(crate) fn connector(&self) -> Result<Arc<dyn Connector>, Failure> {
        match &self.store {
            Some(url) => Ok(leasehold::store(url)?),
            None => Ok(Arc::new(SqliteStore::new(default_file()?))),
        }
    }

    /// As [`builder`](Self::builder), for what other processes are to see.
    pub(crate) fn shared(&self) -> Result<Builder, Failure> {
        if self
            .store
            .as_deref()
            .is_some_and(|url| url.starts_with("memory:"))
        {
            let text = "the memory store is each process's own, and keeps out nobody: name a sqlite: or redis:// store";
            return Err(Failure::Usage(text.into()));
        }
        self.builder()
    }
}

/// This client's label, with the user's note behind it.
pub(crate) fn label(note: Option<&str>) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let who = format!("{host}:{}", std::process::id());
    note.map_or_else(|| who.clone(), |note| format!("{who} {note}"))
}

/// The file of this user; its folder is created.
fn default_file() -> Result<PathBuf, Failure> {
    // Relative paths are to be ignored: <https://specifications.freedesktop.org/basedir-spec/>.
    let set = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let folder = state.ok_or(Failure::NoHome)?.join("leasehold");
    let created = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    if let Err(source) = created {
        let path = folder;
        return Err(Failure::StateFolder { path, source });
    }
    Ok(folder.join("leasehold.db"))
}

/// Reads `30s`, `1h 30m`, `5ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it like 30s, 5ms or 1h30m"))
}

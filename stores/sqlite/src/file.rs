//! The file: whether it can carry leases at all, checked before anything is created.

use std::io;
use std::path::{Path, PathBuf};

use leasehold_core::store::{StoreError, StoreErrorKind};
use rustix::fs::{Access, access};

/// File systems whose locks or shared memory do not hold between machines, by their `statfs` type.
///
/// FUSE is among them because sshfs and its like cannot be told from local ones.
/// Source: `statfs(2)` and `linux/magic.h`.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 12] = [
    (0x0000_6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB 2"),
    (0x0000_517B, "SMB"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "kAFS"),
    (0x00C3_6400, "Ceph"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x6573_5546, "FUSE"),
    (0x0BD0_0BD0, "Lustre"),
];

/// Where the data is, and how large it may grow.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: Option<u64>,
}

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl DataFile {
    /// The absolute path: SQLite takes some relative ones (`:memory:`, `file:x`) for something else.
    pub(crate) fn absolute(&self) -> Result<PathBuf, StoreError> {
        std::path::absolute(&self.path)
            .map_err(|e| self.config("not a path; name a file").with_source(e))
    }

    /// Whether the file may be opened, or created.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let path = self.absolute()?;
        let folder = match path.parent() {
            Some(folder) if path.file_name().is_some() => folder,
            _ => return Err(self.config("it is a folder; name a file in it")),
        };
        match folder.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let folder = folder.display();
                return Err(self.config(format!("{folder} is no folder; name a file in one")));
            }
            Err(e) if is_absent(&e) => {
                let folder = folder.display();
                return Err(self
                    .config(format!("the folder {folder} does not exist; create it"))
                    .with_source(e));
            }
            Err(e) => return Err(self.config("its folder cannot be read").with_source(e)),
        }
        let present = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                return Err(self.config("it is a folder; name a file in it"));
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(self.config("it is no regular file; choose another"));
            }
            Ok(_) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(self.config("it cannot be read").with_source(e)),
        };
        self.check_file_system(if present { &path } else { folder })?;
        let writable = |place: &Path| access(place, Access::READ_OK | Access::WRITE_OK);
        writable(folder)
            .and_then(|()| if present { writable(&path) } else { Ok(()) })
            .map_err(|e| {
                self.config("it or its folder is not writable; change their owner or mode")
                    .with_source(io::Error::from(e))
            })
    }

    fn check_file_system(&self, place: &Path) -> Result<(), StoreError> {
        let found = rustix::fs::statfs(place).map_err(|e| {
            self.config("its file system cannot be asked")
                .with_source(io::Error::from(e))
        })?;
        match network_file_system(found.f_type) {
            Some(name) => Err(self.config(format!(
                "it is on a network file system ({name}), where locks do not hold; \
                 use a local disk, or a server such as Redis"
            ))),
            None => Ok(()),
        }
    }

    /// Which file is there now.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let stat = rustix::fs::stat(&self.path).ok()?;
        Some(Identity(stat.st_dev, stat.st_ino))
    }

    fn config(&self, what: impl AsRef<str>) -> StoreError {
        let context = format!("{}: {}", self.path.display(), what.as_ref());
        StoreError::new(StoreErrorKind::Config, "open", context)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The name of a network file system's type. The kernel's word is signed or unsigned, by platform: its low half counts.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the magic numbers have 32 bits"
)]
fn network_file_system(kind: rustix::fs::FsWord) -> Option<&'static str> {
    let kind = kind as u32;
    let found = NETWORK_FILE_SYSTEMS
        .iter()
        .find(|(magic, _)| *magic == kind);
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_type() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(0xFE53_4D42), Some("SMB 2"));
        // As a 32-bit kernel word it is negative.
        assert_eq!(
            network_file_system(i64::from(0xFF53_4D42_u32.cast_signed())),
            Some("CIFS")
        );
        for local in [0xEF53, 0x0102_1994, 0x794C_7630, 0x9123_683E] {
            assert_eq!(network_file_system(local), None);
        }
    }
}

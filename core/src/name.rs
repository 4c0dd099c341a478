//! Names: what users call their applications and their resources, checked once.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use crate::client::Mode;
use crate::metrics::ClassKeys;

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// How many buckets a namespace has. Resources of one bucket live together in the store.
pub const BUCKETS: u16 = 256;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    #[error("{what} is empty: give it at least one character")]
    Empty {
        /// Which name, as in "namespace".
        what: &'static str,
    },
    /// The name has more than [`MAX_NAME_BYTES`] bytes.
    #[error("{what} has {bytes} bytes: at most {MAX_NAME_BYTES} are allowed; hash long keys first")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The name has a control character.
    #[error("{what} has the control character U+{:04X} at byte {at}: remove or encode it", u32::from(*.character))]
    Control {
        /// Which name.
        what: &'static str,
        /// The character.
        character: char,
        /// Its position, in bytes.
        at: usize,
    },
    /// A group has a character that ends it.
    #[error("group {group:?} has a brace or a `/`: leave them out, they mark where a group ends")]
    Group {
        /// The group.
        group: String,
    },
    /// A class has a character that separates classes from ids, or that marks leasehold's own.
    #[error("class {class:?} is reserved: a class has no `/` and does not begin with `~`")]
    Reserved {
        /// The class.
        class: String,
    },
}

/// What stands in the braces before an id of a group.
///
/// ```
/// use leasehold_core::name::Group;
/// assert_eq!(Group::new("order-7").unwrap().id("paid"), "{order-7}/paid");
/// assert!(Group::new("a/b").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group(Arc<str>);

impl Group {
    /// Checks and takes the tag.
    pub fn new(tag: &str) -> Result<Self, NameError> {
        check("group", tag)?;
        if tag.contains(['{', '}', '/']) {
            return Err(NameError::Group { group: tag.into() });
        }
        Ok(Self(tag.into()))
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `id` within this group.
    pub fn id(&self, id: impl fmt::Display) -> String {
        format!("{{{}}}/{id}", self.0)
    }

    /// The tag of a whole name that has one.
    fn tag_of(full: &str) -> Option<&str> {
        let (_, id) = full.split_once('/')?;
        let (tag, _) = id.strip_prefix('{')?.split_once("}/")?;
        let is_tag = !tag.is_empty() && !tag.contains(['{', '}', '/']);
        is_tag.then_some(tag)
    }
}

fn check(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong {
            what,
            bytes: name.len(),
        });
    }
    match name.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, character)) => Err(NameError::Control {
            what,
            character,
            at,
        }),
        None => Ok(()),
    }
}

/// One application's part of a store: every key stands under it, so that two applications never meet.
///
/// Any UTF-8 without control characters, 1 to 512 bytes.
///
/// ```
/// use leasehold_core::Namespace;
/// assert!(Namespace::new("billing").is_ok());
/// assert!(Namespace::new("").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Checks and takes the name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check("namespace", name)?;
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The class of a resource: what carries its settings, and the only part of its name that becomes a metric label.
#[derive(Clone)]
pub struct Class(Arc<ClassName>);

struct ClassName {
    name: Box<str>,
    /// By mode.
    keys: [OnceLock<ClassKeys>; 3],
}

impl Class {
    /// Checks and takes the name of a user's class.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check("class", name)?;
        if name.contains('/') || name.starts_with('~') {
            return Err(NameError::Reserved { class: name.into() });
        }
        Ok(Self::unchecked(name))
    }

    fn unchecked(name: &str) -> Self {
        Self(Arc::new(ClassName {
            name: name.into(),
            keys: [const { OnceLock::new() }; 3],
        }))
    }

    /// A class of leasehold's own; users cannot name it.
    ///
    /// # Panics
    /// If it does not begin with `~` or has a `/`: those are constants of this project.
    pub fn internal(name: &'static str) -> Self {
        assert!(name.starts_with('~') && !name.contains('/'));
        Self::unchecked(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// Its metrics.
    pub(crate) fn keys(&self, mode: Mode) -> &ClassKeys {
        self.0.keys[mode as usize].get_or_init(|| ClassKeys::of(self.as_str(), mode))
    }

    /// The resource `id` of this class. An id that begins with `{tag}/` is of the group `tag`: see [`Bucket::of`].
    ///
    /// # Panics
    /// If `id`'s `Display` answers an error, as `format!` does.
    pub fn resource(&self, id: impl fmt::Display) -> Result<ResourceName, NameError> {
        let class = self.as_str();
        // Room for most ids: growing costs more than the memory.
        let mut full = String::with_capacity(class.len() + 32);
        full.push_str(class);
        full.push('/');
        let written = write!(full, "{id}");
        assert!(written.is_ok(), "the id cannot be written");
        check("resource name", &full[class.len() + 1..])?;
        Ok(ResourceName::new(self.clone(), full))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Class").field(&self.as_str()).finish()
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Class {}

impl Hash for Class {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// A resource's whole name, `class/id`, and the bucket it lives in. Cheap to clone, and small: a request is made of it many
/// times.
#[derive(Clone)]
pub struct ResourceName(Arc<Parts>);

struct Parts {
    full: String,
    class: Class,
    bucket: Bucket,
}

impl ResourceName {
    fn new(class: Class, full: String) -> Self {
        let bucket = Bucket::of(&full);
        Self(Arc::new(Parts {
            full,
            class,
            bucket,
        }))
    }

    /// Takes back a whole name that a store kept; it was checked when it was made.
    pub fn from_store(full: &str) -> Self {
        let class = full.split('/').next().unwrap_or_default();
        Self::new(Class::unchecked(class), full.to_owned())
    }

    /// `class/id`.
    pub fn as_str(&self) -> &str {
        &self.0.full
    }

    /// The class: what stands before the first `/`.
    pub fn class(&self) -> &str {
        self.0.class.as_str()
    }

    /// Its class's metrics.
    pub(crate) fn keys(&self, mode: Mode) -> &ClassKeys {
        self.0.class.keys(mode)
    }

    /// Where it lives.
    pub fn bucket(&self) -> Bucket {
        self.0.bucket
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResourceName").field(&self.as_str()).finish()
    }
}

impl PartialEq for ResourceName {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for ResourceName {}

impl PartialOrd for ResourceName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceName {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ResourceName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// The part of a namespace that a name falls into.
///
/// It is FNV-1a 64, modulo 256, of the UTF-8 bytes of the name's group, or else of the whole name. A name has a group if its id,
/// which follows the first `/`, begins with `{tag}/`, where the tag is not empty and has no `{`, `}` or `/`. So names of one
/// group live together, whatever their classes, and no two clients can disagree on that: it is part of the name.
///
/// Source: <http://www.isthe.com/chongo/tech/comp/fnv/>. Every version of leasehold must agree on it.
///
/// ```
/// use leasehold_core::name::Bucket;
/// assert_eq!(Bucket::of("invoice/{order-7}/1"), Bucket::of("account/{order-7}/3"));
/// assert_ne!(Bucket::of("invoice/1"), Bucket::of("account/3"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u8);

impl Bucket {
    /// The bucket of a whole name.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a remainder of 256 fits in a byte"
    )]
    pub fn of(name: &str) -> Self {
        let hashed = Group::tag_of(name).unwrap_or(name);
        Self((fnv1a_64(hashed.as_bytes()) % u64::from(BUCKETS)) as u8)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// FNV-1a, 64 bits.
pub fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_the_published_vectors() {
        // From the FNV authors' test suite; the second column is what every version must keep.
        for (text, hash, bucket) in [
            ("", 0xcbf2_9ce4_8422_2325_u64, 0x25),
            ("a", 0xaf63_dc4c_8601_ec8c, 0x8c),
            ("foobar", 0x8594_4171_f739_67e8, 0xe8),
        ] {
            assert_eq!(fnv1a_64(text.as_bytes()), hash);
            assert_eq!(Bucket::of(text), Bucket(bucket));
        }
    }

    #[test]
    fn a_group_is_part_of_the_name_and_decides_where_it_lives() {
        // What every version must keep: the second column is what is hashed.
        for (name, hashed, bucket) in [
            ("invoice/{order-7}/1", "order-7", 0x3b),
            ("account/{order-7}/{x}/3", "order-7", 0x3b),
            ("~register/{order-7}/state", "order-7", 0x3b),
            ("invoice/{a}/1", "a", 0x8c),
            ("invoice/{größe}/1", "größe", 0xda),
            // None of these has a group.
            ("invoice/{}/1", "invoice/{}/1", 0xd5),
            ("invoice/{order-7}", "invoice/{order-7}", 0x01),
            ("invoice/{order-7}1", "invoice/{order-7}1", 0x90),
            ("invoice/x{order-7}/1", "invoice/x{order-7}/1", 0x17),
            ("invoice/{a/b}/1", "invoice/{a/b}/1", 0xcb),
            ("invoice/{{a}/1", "invoice/{{a}/1", 0x79),
            ("invoice/{a}}/1", "invoice/{a}}/1", 0x2f),
            ("{order-7}/1", "{order-7}/1", 0x19),
        ] {
            assert_eq!(fnv1a_64(hashed.as_bytes()) % 256, bucket, "{hashed}");
            let bucket = u8::try_from(bucket).unwrap();
            assert_eq!(Bucket::of(name), Bucket(bucket), "{name}");
            assert_eq!(ResourceName::from_store(name).bucket(), Bucket(bucket));
        }
        let invoice = Class::new("invoice").unwrap();
        let name = invoice
            .resource(Group::new("order-7").unwrap().id(1))
            .unwrap();
        assert_eq!(name.as_str(), "invoice/{order-7}/1");
        assert_eq!(name.bucket(), Bucket::of("account/{order-7}/2"));
        for bad in ["", "a/b", "{", "a}", "x\ny"] {
            assert!(Group::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bad_names_are_refused_with_what_to_do() {
        assert_eq!(
            Namespace::new("").unwrap_err(),
            NameError::Empty { what: "namespace" }
        );
        let long = "x".repeat(513);
        assert!(matches!(
            Namespace::new(&long).unwrap_err(),
            NameError::TooLong { bytes: 513, .. }
        ));
        assert!(Namespace::new(&"x".repeat(512)).is_ok());
        let error = Class::new("invoice")
            .and_then(|class| class.resource("a\nb"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "resource name has the control character U+000A at byte 1: remove or encode it"
        );
        assert!(matches!(
            Class::new("~job").unwrap_err(),
            NameError::Reserved { .. }
        ));
        assert!(matches!(
            Class::new("a/b").unwrap_err(),
            NameError::Reserved { .. }
        ));
    }

    #[test]
    fn classes_and_ids_never_collide() {
        let one = Class::new("a").unwrap().resource("b/c").unwrap();
        assert_eq!(one.as_str(), "a/b/c");
        assert_eq!(one.class(), "a");
    }
}

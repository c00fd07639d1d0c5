//! Power loss: what the program did to its files is recorded (`shim/shim.c`), and the directory is built anew as a machine
//! would find it that lost its power at some moment: what was synced by then, and of the rest anything.
//!
//! The model is stricter than common file systems: only `fsync` and `fdatasync` make a file's bytes and length durable
//! (`sync_file_range` does not), only `fsync` of a directory makes its names durable. Of what was not synced, each write may
//! be there or not, whole or cut at a sector, and of a directory's names any beginning of the changes.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// One recorded change, and where the record ends in the trace.
#[derive(Debug, Clone)]
pub struct Record {
    pub end: u64,
    pub op: usize,
    pub path: String,
    pub data: Vec<u8>,
    pub offset: u64,
}

/// Reads a trace; `root`: the directory that counts.
pub fn read_trace(path: &Path, root: &Path) -> Vec<Record> {
    let bytes = fs::read(path).unwrap_or_default();
    let root = root.to_str().unwrap();
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 24) {
        let int = |range: std::ops::Range<usize>| i32::from_ne_bytes(head[range].try_into().unwrap());
        let long = |range: std::ops::Range<usize>| i64::from_ne_bytes(head[range].try_into().unwrap());
        let (op, len) = (usize::try_from(int(0..4)).unwrap(), usize::try_from(int(4..8)).unwrap());
        let (n, offset) = (usize::try_from(long(8..16)).unwrap(), u64::try_from(long(16..24)).unwrap());
        let end = at + 24 + len + n;
        if end > bytes.len() {
            break;
        }
        let path = String::from_utf8(bytes[at + 24..at + 24 + len].to_vec()).unwrap();
        let path = path.strip_prefix(root).unwrap().trim_start_matches('/').to_owned();
        records.push(Record { end: end as u64, op, path, data: bytes[at + 24 + len..end].to_vec(), offset });
        at = end;
    }
    records
}

type File = usize;
type Dir = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(File),
    Dir(Dir),
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Set(String, Node),
    Remove(String),
    Move(String, String, Node),
}

#[derive(Debug, Clone, Default)]
struct Names {
    now: BTreeMap<String, Node>,
    safe: BTreeMap<String, Node>,
    pending: Vec<Naming>,
}

/// The directory as the program sees it, and as the disk has it.
#[derive(Debug, Clone)]
pub struct Machine {
    files: Vec<Content>,
    dirs: Vec<Names>,
    /// `fsync` of files does nothing.
    careless: bool,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, kept: Option<usize>) {
        match self {
            Change::Write(offset, data) => {
                let data = &data[..kept.unwrap_or(data.len())];
                let offset = usize::try_from(*offset).unwrap();
                if to.len() < offset + data.len() {
                    to.resize(offset + data.len(), 0);
                }
                to[offset..offset + data.len()].copy_from_slice(data);
            }
            Change::Length(length) => to.resize(usize::try_from(*length).unwrap(), 0),
        }
    }
}

impl Naming {
    fn apply(&self, to: &mut BTreeMap<String, Node>) {
        match self {
            Naming::Set(name, node) => {
                to.insert(name.clone(), *node);
            }
            Naming::Remove(name) => {
                to.remove(name);
            }
            Naming::Move(from, name, node) => {
                to.remove(from);
                to.insert(name.clone(), *node);
            }
        }
    }
}

impl Machine {
    /// Before the first record: an empty directory.
    pub fn new() -> Self {
        Self { files: Vec::new(), dirs: vec![Names::default()], careless: false }
    }

    /// One whose disk forgets to write what it is told to sync, from the second sync of each file on.
    pub fn careless() -> Self {
        Self { careless: true, ..Self::new() }
    }

    fn find(&self, path: &str) -> Option<Node> {
        let mut node = Node::Dir(0);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Dir(dir) = node else { return None };
            node = *self.dirs[dir].now.get(name)?;
        }
        Some(node)
    }

    fn parent(&self, path: &str) -> Option<(Dir, String)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(parent) {
            Some(Node::Dir(dir)) => Some((dir, name.to_owned())),
            Some(Node::File(_)) | None => None,
        }
    }

    fn name(&mut self, dir: Dir, naming: Naming) {
        naming.apply(&mut self.dirs[dir].now);
        self.dirs[dir].pending.push(naming);
    }

    fn change(&mut self, path: &str, change: Change) {
        // A file that is open and has lost its name (the path then ends in " (deleted)") is nobody's any more.
        let Some(Node::File(file)) = self.find(path) else { return };
        change.apply(&mut self.files[file].now, None);
        self.files[file].pending.push(change);
    }

    pub fn play(&mut self, record: &Record) {
        let path = record.path.as_str();
        match crate::shim::OPS[record.op] {
            "create" => {
                let Some((dir, name)) = self.parent(path) else { return };
                self.files.push(Content::default());
                let node = Node::File(self.files.len() - 1);
                self.name(dir, Naming::Set(name, node));
            }
            "mkdir" if path.is_empty() => {}
            "mkdir" => {
                let Some((dir, name)) = self.parent(path) else { return };
                self.dirs.push(Names::default());
                let node = Node::Dir(self.dirs.len() - 1);
                self.name(dir, Naming::Set(name, node));
            }
            "truncate" => self.change(path, Change::Length(record.offset)),
            "write" => self.change(path, Change::Write(record.offset, record.data.clone())),
            "fsync" | "fdatasync" => match self.find(path) {
                Some(Node::File(file)) => {
                    let careless = self.careless;
                    let content = &mut self.files[file];
                    if careless && !content.safe.is_empty() {
                        return;
                    }
                    content.safe.clone_from(&content.now);
                    content.pending.clear();
                }
                Some(Node::Dir(dir)) => {
                    let names = &mut self.dirs[dir];
                    names.safe.clone_from(&names.now);
                    names.pending.clear();
                }
                None => {}
            },
            "sync_file_range" => {}
            "rename" => {
                let to = String::from_utf8(record.data.clone()).unwrap();
                let to = to.rsplit('/').next().unwrap().to_owned();
                let (Some(node), Some((dir, name))) = (self.find(path), self.parent(path)) else { return };
                self.name(dir, Naming::Move(name, to, node));
            }
            "unlink" | "rmdir" => {
                let Some((dir, name)) = self.parent(path) else { return };
                if self.dirs[dir].now.contains_key(&name) {
                    self.name(dir, Naming::Remove(name));
                }
            }
            other => panic!("nobody knows what `{other}` of {path} makes of a disk"),
        }
    }

    /// What the disk has if the power goes now. `luck`: beside what was synced, some of the rest.
    pub fn lose_power(&self, to: &Path, luck: Option<&mut StdRng>) {
        let mut luck = luck;
        self.build(0, to, &mut luck);
    }

    fn build(&self, dir: Dir, to: &Path, luck: &mut Option<&mut StdRng>) {
        fs::create_dir_all(to).unwrap();
        let names = &self.dirs[dir];
        let mut there = names.safe.clone();
        if let Some(rng) = luck {
            let kept = rng.random_range(0..=names.pending.len());
            for naming in &names.pending[..kept] {
                naming.apply(&mut there);
            }
        }
        for (name, node) in there {
            match node {
                Node::Dir(dir) => self.build(dir, &to.join(name), luck),
                Node::File(file) => fs::write(to.join(name), self.content(file, luck)).unwrap(),
            }
        }
    }

    fn content(&self, file: File, luck: &mut Option<&mut StdRng>) -> Vec<u8> {
        let content = &self.files[file];
        let mut bytes = content.safe.clone();
        if let Some(rng) = luck {
            for change in &content.pending {
                let length = if let Change::Write(_, data) = change { data.len() } else { 0 };
                match rng.random_range(0..3) {
                    0 => {}
                    1 if length > 512 => {
                        let sectors = u64::try_from(length / 512).unwrap();
                        let kept = usize::try_from(rng.next_u64() % (sectors + 1)).unwrap() * 512;
                        change.apply(&mut bytes, Some(kept));
                    }
                    _ => change.apply(&mut bytes, None),
                }
            }
        }
        bytes
    }
}

//! The bounded run of the fuzz targets: every file of their corpora, and what a few thousand changes make of them. The
//! same entries run without bound by `gateway/fuzz/run json` (or `template`, `path`, `query`, `wire`; without a name, all).

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "support/entries.rs"]
mod entries;
#[path = "support/protos.rs"]
mod protos;
#[path = "support/random.rs"]
#[allow(dead_code, reason = "only its dice are used here")]
mod random;

use std::path::Path;

use random::Random;

/// What is made of each file.
const CHANGES: u64 = 60;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A few changes: a byte, a cut, a piece doubled, a piece of another file.
fn changed(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const TOKENS: [&str; 14] =
        ["{", "}", "[", "]", "\"", "\\u0000", "%2F", "%", "**", ":", "1e999", "null", "=", "."];
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let to = at + random.below((bytes.len() - at) as u64 + 1) as usize;
        let piece = match random.below(5) {
            0 => Vec::new(),
            1 => vec![random.next() as u8],
            2 => bytes[at..to].repeat(2),
            3 => other[..random.below(other.len() as u64 + 1) as usize].to_vec(),
            _ => TOKENS[random.below(TOKENS.len() as u64) as usize].as_bytes().to_vec(),
        };
        bytes.splice(at..to, piece);
    }
    bytes
}

#[test]
fn what_holds_of_each_entry_holds_of_its_corpus_and_of_what_is_near_it() {
    for (target, entry) in entries::ENTRIES {
        let files = corpus(target);
        assert!(!files.is_empty(), "no corpus for {target}");
        let mut random = Random(files.len() as u64);
        for file in &files {
            entry(file);
            for _ in 0..CHANGES {
                let other = &files[random.below(files.len() as u64) as usize];
                let bytes = changed(file, other, &mut random);
                if std::panic::catch_unwind(|| entry(&bytes)).is_err() {
                    panic!("{target}: {:?}", String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
}

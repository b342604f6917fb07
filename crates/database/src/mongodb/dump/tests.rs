//! Tests of the format: what is written is read, and whatever is changed in it is noticed.

use std::io::{Seek, SeekFrom};

use ::mongodb::bson::oid::ObjectId;
use ::mongodb::bson::rawdoc;
use proptest::prelude::*;

use super::*;

fn records() -> Vec<Record> {
    vec![
        Record::Head(doc! { "database": "app_a" }),
        Record::Collection(rawdoc! { "name": "empty" }),
        Record::Collection(rawdoc! { "name": "full" }),
        Record::Document(rawdoc! { "_id": ObjectId::from_bytes([7; 12]), "text": "ü".repeat(50), "n": 1.5 }),
        Record::Document(rawdoc! {}),
        Record::End(Found { tables: 2, rows: 2 }),
    ]
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut file = tempfile::tempfile().expect("a file");
    let mut writer = Writer::new(file.try_clone().expect("a copy")).expect("a dump");
    for record in records {
        writer.record(record).expect("a record");
    }
    writer.finish().expect("the end");
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("the beginning");
    file.read_to_end(&mut bytes).expect("what was written");
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Record>> {
    let mut reader = Reader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next()? {
        records.push(record);
    }
    Ok(records)
}

/// The bytes as they stand below gzip, and changed ones packed again: so that gzip's own checksum does not help.
fn repacked(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).expect("a dump");
    change(&mut plain);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&plain).expect("memory");
    packed.finish().expect("memory")
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(read(&written(&records())).expect("a dump"), records());
}

#[test]
fn parts_out_of_order_or_missing_are_damage() {
    let all = records();
    let refused = |records: &[Record]| read(&written(records)).expect_err("damage").to_string();
    assert!(refused(&all[..5]).contains("too early"), "without its end");
    assert!(refused(&all[1..]).contains("order"), "without its head");
    assert!(refused(&[all[0].clone(), all[3].clone()]).contains("order"), "a document of no collection");
    assert!(refused(&[all[0].clone(), all[1].clone(), all[5].clone()]).contains("as many"), "fewer than it says");
    assert!(refused(&[all[0].clone(), all[0].clone()]).contains("order"), "two heads");
}

#[test]
fn a_length_that_cannot_be_takes_no_memory() {
    for length in [i32::MAX, -1, 0, 4] {
        let dump = repacked(&written(&records()), |plain| {
            let at = MAGIC.len() + 1;
            plain[at..at + 4].copy_from_slice(&length.to_le_bytes());
        });
        assert!(read(&dump).expect_err("damage").to_string().contains("length"), "{length}");
    }
}

#[test]
fn nothing_stands_behind_the_end() {
    let whole = written(&records());
    for dump in [[&whole[..], b"x"].concat(), [&whole[..], &whole[..]].concat(), repacked(&whole, |plain| plain.push(b'x'))] {
        assert!(read(&dump).is_err());
    }
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(at in 0_usize..10_000, by in 1_u8..) {
        let dump = repacked(&written(&records()), |plain| {
            let at = at % plain.len();
            plain[at] ^= by;
        });
        prop_assert!(read(&dump).is_err());
    }

    #[test]
    fn a_dump_cut_off_is_noticed(at in 0_usize..10_000) {
        let whole = written(&records());
        prop_assert!(read(&whole[..at % whole.len()]).is_err());
    }

    #[test]
    fn anything_may_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(MAGIC).expect("memory");
        packed.write_all(&bytes).expect("memory");
        prop_assert!(read(&packed.finish().expect("memory")).is_err());
    }
}

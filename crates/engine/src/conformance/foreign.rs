//! A foreign image's layers, applied one above the other.

use super::{Subject, tempfile};
use crate::{EngineError, LayerId, LayerRef, LayerRoom};

/// An archive with these files.
fn archive_of(files: &[(&str, &str)]) -> std::fs::File {
    use std::io::Seek;
    let mut builder = tar::Builder::new(tempfile());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, text.as_bytes()).expect("written");
    }
    let mut file = builder.into_inner().expect("finished");
    file.rewind().expect("rewound");
    file
}

pub(super) async fn a_foreign_image_is_applied_layer_by_layer(it: Subject) {
    let layer = LayerId::parse(&Subject::name("foreign")).expect("a name");
    let room = LayerRoom { bytes: 1000, entries: 100 };
    let first = archive_of(&[("srv/kept", "old"), ("srv/gone", "x"), ("tree/leaf", "y")]);
    let second = archive_of(&[("srv/kept", "new"), ("srv/.wh.gone", ""), (".wh.tree", "")]);
    let missing = it.engine.apply_layer(&layer, false, room, archive_of(&[])).await;
    assert!(matches!(missing, Err(EngineError::Missing(_))), "{missing:?}");
    let applied = it.engine.apply_layer(&layer, true, room, first).await.expect("applied");
    assert!((applied.bytes, applied.skipped) == (5, 0) && applied.entries >= 3, "{applied:?}");
    it.engine.apply_layer(&layer, false, room, second).await.expect("applied");
    assert!(!it.engine.has_layer(&layer).await.expect("an answer"), "it is not sealed");
    it.engine.seal_layer(&layer, &[]).await.expect("sealed");
    assert_eq!(it.engine.layer_file(&layer, "/srv/kept").await.expect("a file"), b"new");
    let gone = it.engine.layer_file(&layer, "/srv/gone").await;
    assert!(matches!(gone, Err(EngineError::Missing(_))), "{gone:?}");
    let mut spec = it.spec("reads", "cat /srv/kept , cat /srv/gone , cat /tree/leaf");
    spec.layers.push(LayerRef::Layer(layer.clone()));
    assert_eq!(it.run_spec(spec).await, "newcat: ENOENT\ncat: ENOENT\n");
    it.engine.remove_layer(&layer).await.expect("removed");
    // What fails leaves nothing to go on with.
    it.engine.apply_layer(&layer, true, LayerRoom { bytes: 1, entries: 9 }, archive_of(&[("a", "bc")])).await.expect_err("large");
    it.engine
        .apply_layer(&layer, true, LayerRoom { bytes: 9, entries: 1 }, archive_of(&[("a", ""), ("b", "")]))
        .await
        .expect_err("many");
    assert!(it.engine.seal_layer(&layer, &[]).await.is_err());
}

//! TUF: from a source to a manifest that was signed for this box.

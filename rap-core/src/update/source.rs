//! Where the files of a repository come from: a web server through the relay, or a bundle.

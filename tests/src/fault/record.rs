//! Finds out when a TLS handshake is over, by the plain headers of the records that go up (RFC 8446 §5.1).
//!
//! The client's first record of the type `application_data` follows the server's whole flight: in TLS 1.3 it is the
//! client's own last flight (RFC 8446 §4.4, encrypted), in TLS 1.2 its first request. So nothing that comes down after
//! it is needed for the handshake.

/// `ContentType.application_data`.
const APPLICATION_DATA: u8 = 23;

/// Follows one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; 5],
    held: usize,
    /// Bytes of the present record that are still to come.
    rest: usize,
    seen: bool,
}

impl Records {
    /// Takes the next bytes; says whether there was a record of `application_data` by now.
    pub(super) fn application_data(&mut self, mut bytes: &[u8]) -> bool {
        while !self.seen && !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let wanted = (self.header.len() - self.held).min(bytes.len());
            if self.rest > 0 || wanted == 0 {
                continue;
            }
            self.header[self.held..self.held + wanted].copy_from_slice(&bytes[..wanted]);
            self.held += wanted;
            bytes = &bytes[wanted..];
            if self.held == self.header.len() {
                self.seen = self.header[0] == APPLICATION_DATA;
                self.rest = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                self.held = 0;
            }
        }
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_data_is_found_wherever_the_stream_is_cut() {
        let hello = [&[22, 3, 1, 0, 3][..], &[23, 23, 23]].concat();
        let change = [20, 3, 3, 0, 1, 1];
        let data = [23, 3, 3, 0, 2, 0, 0];
        let stream = [&hello[..], &change, &data].concat();
        let header_ends = hello.len() + change.len() + 5;
        for cut in 0..=stream.len() {
            let mut records = Records::default();
            assert_eq!(
                records.application_data(&stream[..cut]),
                cut >= header_ends,
                "{cut}"
            );
            assert!(records.application_data(&stream[cut..]));
        }
        let mut one_by_one = Records::default();
        let first = stream
            .iter()
            .position(|byte| one_by_one.application_data(&[*byte]));
        assert_eq!(first, Some(header_ends - 1));
    }
}

//! Random passwords for applicants who chose none.

use leadsquared::Password;

/// How many random bytes [`generated_password`] is made of: 160 bits.
pub const PASSWORD_BYTES: usize = 20;

/// A random password for an applicant who chose none. It is never stored and never mailed.
///
/// 32 letters and digits that carry the bytes five bits each, and one character of every class in front for portals
/// whose policy asks for upper and lower case, a digit and a symbol.
pub fn generated_password(random: [u8; PASSWORD_BYTES]) -> Password {
    // Letters and digits without the four that look alike.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = String::from("Aa1!");
    for chunk in random.chunks_exact(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        text.extend((0..8).rev().map(|place| char::from(ALPHABET[(bits >> (place * 5)) as usize & 31])));
    }
    Password::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let zero = generated_password([0; PASSWORD_BYTES]);
        assert_eq!(zero.expose(), format!("Aa1!{}", "a".repeat(32)));
        for bit in 0..PASSWORD_BYTES * 8 {
            let mut random = [0; PASSWORD_BYTES];
            random[bit / 8] = 1 << (bit % 8);
            assert_ne!(generated_password(random).expose(), zero.expose(), "bit {bit}");
        }
    }
}

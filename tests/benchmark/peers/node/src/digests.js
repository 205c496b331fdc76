// The hashes behind ids and keys, equal to those of the Rust crate `onboarding`.

import { createHash } from "node:crypto";

/** The SHA-256 of these texts or buffers, each after its length. */
export function digest(...parts) {
  const hash = createHash("sha256");
  const length = Buffer.alloc(8);
  for (const part of parts) {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    length.writeBigUInt64BE(BigInt(bytes.length));
    hash.update(length).update(bytes);
  }
  return hash.digest();
}

export const hexDigest = (...parts) => digest(...parts).toString("hex");

/** A UUID of version 8 from these parts. */
export function uuidOf(...parts) {
  const half = digest(...parts).subarray(0, 16);
  half[6] = (half[6] & 0x0f) | 0x80;
  half[8] = (half[8] & 0x3f) | 0x80;
  return half.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A whole number as eight bytes. */
export function bytes(number) {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(BigInt(number));
  return buffer;
}

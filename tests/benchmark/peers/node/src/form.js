// Reads the configured fields of an application form, and makes the queue's message of them.

import { parsePhoneNumberFromString } from "libphonenumber-js/max";

import { bytes, hexDigest, uuidOf } from "./digests.js";

const FIELDS = JSON.parse(process.env.FORM_FIELDS);
const COUNTRY = process.env.DEFAULT_COUNTRY_CODE || "91";
const SAME_FORM_SECONDS = 5 * 60;
const LONGEST_KEY = 255;
const LARGEST_BODY = 64 * 1024;
const EMAIL =
  /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}$/;

/** An error with its answer: a status, a title, a detail and more members of the problem document. */
export class Problem extends Error {
  constructor(status, title, detail, more = {}) {
    super(title);
    Object.assign(this, { status, title, detail, more });
  }
}

/** Reads a form whose body a middleware has parsed. */
export function read(event) {
  const key = (event.headers["idempotency-key"] ?? "").trim();
  if (key.length > LONGEST_KEY) {
    throw new Problem(400, "The Idempotency-Key cannot be used", `Send 1 to ${LONGEST_KEY} characters.`);
  }
  const { body } = event;
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new Problem(415, "The content type is not supported", "Send a form or a JSON object.");
  }
  const attributes = [];
  const errors = [];
  let email = "";
  let byRobot = false;
  for (const field of FIELDS) {
    const { value, error } = readField(field, body[field.name]);
    if (error) errors.push({ field: field.name, detail: error });
    else if (value === undefined) continue;
    else if (field.kind === "honeypot") byRobot = true;
    else if (field.kind === "email") email = value;
    else attributes.push([field.attribute, value]);
  }
  if (errors.length > 0) {
    throw new Problem(422, "The form is not complete", "Some fields need your attention.", { errors });
  }
  const period = bytes(Math.floor(Date.now() / 1000 / SAME_FORM_SECONDS));
  const id = key
    ? uuidOf("form by key", email, key)
    : uuidOf("form by content", period, email, ...attributes.flat());
  return {
    id,
    email,
    attributes,
    byRobot,
    person: hexDigest(email),
    payload: hexDigest(email, ...attributes.flat()),
    message: JSON.stringify({
      version: 2,
      id,
      source: "form",
      received_at: new Date().toISOString(),
      action: "invite",
      email,
      attributes: attributes.map(([name, value]) => ({ name, value })),
    }),
  };
}

/** Refuses a body that is too large before it is parsed. */
export const bodyLimit = () => ({
  before: ({ event }) => {
    if ((event.body?.length ?? 0) * (event.isBase64Encoded ? 0.75 : 1) > LARGEST_BODY) {
      throw new Problem(413, "The form is too large", "Send at most 64 KiB.");
    }
  },
});

const plain = (value) => (typeof value === "string" ? value : value == null ? "" : JSON.stringify(value));

/** The field's value in LeadSquared's spelling, or the error; neither if the field was not filled in. */
function readField(field, sent) {
  const texts = new Set((Array.isArray(sent) ? sent : [sent]).map((text) => plain(text).trim()).filter(Boolean));
  if (texts.size > 1) return { error: "was sent with several values" };
  const [text = ""] = texts;
  const isText = field.kind === "text" || field.kind === "multiline";
  if (!text || (!isText && (text === "null" || text === "undefined"))) {
    return field.required ? { error: "is required" } : {};
  }
  const limit = field.limit ?? 255;
  if ([...text].length > limit) return { error: `must be at most ${limit} characters long` };
  if (/\p{Cc}/u.test(field.kind === "multiline" ? text.replace(/[\r\n\t]/g, "") : text)) {
    return { error: "must be plain text" };
  }
  switch (field.kind) {
    case "text":
    case "multiline":
      // A spreadsheet that a lead is exported to must not run it as a formula.
      return { value: /^[=+\-@]\D/u.test(text) ? `'${text}` : text };
    case "email": {
      const value = text.toLowerCase();
      const isAddress = EMAIL.test(value) && value.length <= 254;
      return isAddress ? { value } : { error: "must be an e-mail address such as name@example.com" };
    }
    case "phone":
      return phone(text);
    case "date": {
      const isDate = /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
      const inRange = text >= (field.earliest ?? "1900-01-01") && text <= (field.latest ?? "2100-12-31");
      return isDate && inRange ? { value: `${text} 00:00:00` } : { error: "must be a date such as 2026-01-31" };
    }
    case "choice":
      return field.options.includes(text) ? { value: text } : { error: `must be one of: ${field.options.join(", ")}` };
    case "consent": {
      const ticked = !["off", "false", "0", "no", "unchecked"].includes(text.toLowerCase());
      return field.required && !ticked ? { error: "must be ticked" } : { value: String(ticked) };
    }
    default:
      return { value: text };
  }
}

/**
 * The number as LeadSquared stores it, such as +91-9000000001. A number of the own country must be valid there, others
 * must have a possible length.
 */
function phone(text) {
  const number = parsePhoneNumberFromString(text, { defaultCallingCode: COUNTRY });
  if (!number) return { error: "must be a phone number such as +91-9000000001" };
  const exists = number.countryCallingCode === COUNTRY ? number.isValid() : number.isPossible();
  if (!exists) return { error: "must be a phone number such as +91-9000000001; the country has no such number" };
  return { value: `+${number.countryCallingCode}-${number.nationalNumber}` };
}

// What both Node workers do with one invitation: register the person, make a link, and mail it.

import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { createHash, randomBytes } from "node:crypto";

import { settings } from "./clients.js";
import * as leadsquared from "./leadsquared.js";

const { LEDGER_TABLE, LINK_URL = "", MAIL_SUBJECT, ORGANISATION = "" } = process.env;
const LINK_MODE = process.env.LINK_MODE || "on-click";
const LINK_HOURS = Number(process.env.LINK_VALID_HOURS || 72);
const SUBJECT = MAIL_SUBJECT || "Your sign-in link";
const UNPROVEN_FIELD = process.env.UNPROVEN_FIELD || "mx_Unproven_Sign_In";
const DIRECT_HOURS = 4;
const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";
const LINKS_KEPT = 30 * 24 * 60 * 60;

export const dynamodb = new DynamoDBClient(settings);

/** Reads the queue's message. */
export function decode(body) {
  const invitation = JSON.parse(body);
  if (![1, 2, 3].includes(invitation.version) || typeof invitation.email !== "string") {
    throw new Error("not an invitation that this worker knows");
  }
  return invitation;
}

/** Registers the person and mails a link. Returns the outcome. */
export async function invite({ id, email, attributes }) {
  const fields = [
    ["EmailAddress", email],
    [UNPROVEN_FIELD, "unproven: identifiers"],
    ...attributes.map(({ name, value }) => [name, value]),
  ];
  let lead;
  let outcome = "invited";
  try {
    lead = await leadsquared.register(fields, password());
  } catch (refusal) {
    if (!refusal.leadExists) throw refusal;
    lead = await leadsquared.leadByEmail(email);
    outcome = "invited-existing";
    if (!lead) throw refusal;
  }
  const isDirect = LINK_MODE === "direct";
  const link = isDirect ? await leadsquared.directLink(lead) : await onClickLink(lead, id);
  const hours = isDirect ? DIRECT_HOURS : LINK_HOURS;
  await leadsquared.sendEmail(email, SUBJECT, html(link, hours), text(link, hours));
  return outcome;
}

/** A random portal password that no person gets, with every class of characters in it. */
const password = () => `Aa1!${Array.from(randomBytes(32), (byte) => LETTERS[byte & 31]).join("")}`;

/** A link with a token. The table holds the token's hash; the page behind the link signs the person in. */
async function onClickLink(lead, invitation) {
  const token = randomBytes(32);
  const now = Math.floor(Date.now() / 1000);
  const Item = {
    pk: { S: `link#${createHash("sha256").update(token).digest("hex")}` },
    lead_id: { S: lead },
    invitation: { S: invitation },
    made_at: { N: String(now) },
    valid_until: { N: String(now + LINK_HOURS * 60 * 60) },
    expires_at: { N: String(now + LINKS_KEPT) },
  };
  await dynamodb.send(new PutItemCommand({ TableName: LEDGER_TABLE, Item }));
  return LINK_URL + token.toString("base64url");
}

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" };
const escaped = (value) => String(value).replace(/[&<>"']/g, (character) => ESCAPES[character]);

const text = (link, hours) => `Your application at ${ORGANISATION}

Open your application with this link; it signs you in, so you need no password:

${link}

The link works for ${hours} hours. It signs in as you: please do not
forward this mail.

If you did not ask for this, another person mistyped an address, and you can
delete this mail.
`;

const html = (link, hours) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(SUBJECT)}</title>
</head>
<body style="margin:0;padding:24px;background:#f4f5f7;font-family:Arial,Helvetica,sans-serif;font-size:16px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center">
<table role="presentation" width="100%" style="max-width:560px;background:#ffffff"><tr><td style="padding:32px">
<h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">Your application at ${escaped(ORGANISATION)}</h1>
<p>Press the button to open your application; it signs you in, so you need no password.</p>
<p><a href="${escaped(link)}" style="padding:12px 24px;background:#1b4dd8;color:#ffffff">Open my application</a></p>
<p>The button works for ${hours} hours. It signs in as you: please do not forward this mail.</p>
<p>If you did not ask for this, another person mistyped an address, and you can delete this mail.</p>
</td></tr></table>
</td></tr></table>
</body>
</html>
`;

// The caps in DynamoDB: how much a network, a person and a mailbox may send.
//
// The requests are those of the Rust intake. One UpdateItem counts the network's windows. One TransactWriteItems takes
// the places of the person and the mailbox, and marks the application.

import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  PutItemCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { isIP } from "node:net";

import { settings } from "./clients.js";
import { bytes, digest, hexDigest } from "./digests.js";

const TABLE = process.env.LEDGER_TABLE;
const SALT = process.env.NETWORK_SALT ?? "";
const LIMITS = {
  person_and_network: 3,
  mailbox: 20,
  network: 300,
  network_share: 5,
  held: 100,
  ...JSON.parse(process.env.INTAKE_LIMITS || "{}"),
};
const HOUR = 60 * 60;
const DAY = 24 * HOUR;
const WINDOW = 15 * 60;
const SITE_COUNTERS = 16;
const SITE_FACTOR = 5;
const INVITATIONS_KEPT = 30 * DAY;
const HELD_KEPT = 14 * DAY;
const CALLS = 3;
const MAILS = 1;
const DAILY_CALLS = dailyCalls();
const DAILY_MAILS = Number(process.env.MAIL_BUDGET || 10_000);

const dynamodb = new DynamoDBClient(settings);
const s = (text) => ({ S: text });
const n = (number) => ({ N: String(number) });

function dailyCalls() {
  const daily = (process.env.ALLOWANCE_DAILY ?? "").trim();
  if (daily.toLowerCase() === "none") return undefined;
  if (daily) return Number(daily);
  const day = Number(process.env.ALLOWANCE_CALLS || 10) <= 10 ? 10_000 : 100_000;
  return (day / 100) * Number(process.env.ALLOWANCE_SHARE || 100);
}

/**
 * Counts the application, and holds it if it is over a cap. The decision is "admitted", "repeat", "held", "too-many" or
 * "other-payload".
 */
export async function decide(application, address) {
  const ms = Date.now();
  const now = Math.floor(ms / 1000);
  const [own, site] = network(address);
  const sender = `sender#${hexDigest("day", "network", site ?? own, bytes(Math.floor(now / DAY)))}`;
  const bounds = boundsOf(own, site, now % DAY);
  const mark = `mark#${hexDigest(application.byRobot ? "robot's application" : "application", application.id)}`;
  const { over, held } = await count(sender, bounds, now);
  if (over || application.byRobot) return hold(application, sender, over ? [] : bounds, mark, held, now);

  const { person } = application;
  const places = [
    [hexDigest("person and network", "form", person, "network", site ?? own), LIMITS.person_and_network],
    [hexDigest("mailbox", "form", mailbox(application.email)), LIMITS.mailbox],
  ];
  const writes = places.map(([hash, most]) => takePlace(`places#${hash}`, most, person, ms));
  writes.push(markWrite(mark, application, now));
  try {
    await dynamodb.send(new TransactWriteItemsCommand({ TransactItems: writes }));
    return "admitted";
  } catch (error) {
    if (!(error instanceof TransactionCanceledException)) throw error;
    const marked = error.CancellationReasons.at(-1);
    if (marked.Code === "ConditionalCheckFailed") {
      await dynamodb.send(new UpdateItemCommand(add(sender, bounds, -1, now)));
      return marked.Item?.payload?.S === application.payload ? "repeat" : "other-payload";
    }
    return hold(application, sender, bounds, mark, held, now);
  }
}

/** The salted hashes of the sender's network and, of an IPv6 address, of its site. */
function network(address) {
  const text = address?.replace(/^::ffff:(?=\d+\.)/i, "");
  if (isIP(text ?? "") === 0) return [Buffer.alloc(0), undefined];
  if (isIP(text) === 4) return [digest("network", SALT, Buffer.from(text.split(".").map(Number))), undefined];
  const packed = ipv6(text);
  return [digest("network", SALT, packed.subarray(0, 8)), digest("site", SALT, packed.subarray(0, 6))];
}

/** The sixteen bytes of an IPv6 address. */
function ipv6(text) {
  const [head, tail] = text.split("%")[0].split("::").map((half) => half.split(":").filter(Boolean));
  const missing = tail ? Array(8 - head.length - tail.length).fill("0") : [];
  const packed = Buffer.alloc(16);
  [...head, ...missing, ...(tail ?? [])].forEach((group, at) => packed.writeUInt16BE(parseInt(group, 16), at * 2));
  return packed;
}

/** The network's counters: name, increment and largest value. */
function boundsOf(own, site, second) {
  const slot = Math.floor(second / WINDOW);
  const most = LIMITS.network;
  const share = (all, charge) => Math.max(Math.floor((all * LIMITS.network_share) / 100), charge);
  const bounds = [[`form-${slot}`, 1, site ? most * SITE_FACTOR : most]];
  if (site) bounds.unshift([`form-${slot}-${(own[0] % SITE_COUNTERS).toString(16)}`, 1, most]);
  if (DAILY_CALLS !== undefined) bounds.push(["calls", CALLS, share(DAILY_CALLS, CALLS)]);
  bounds.push(["mails", MAILS, share(DAILY_MAILS, MAILS)]);
  return bounds;
}

/** An update that adds to these counters. */
function add(pk, bounds, sign, now) {
  const adds = bounds.map((_, at) => `#b${at} :b${at}`).join(", ");
  return {
    TableName: TABLE,
    Key: { pk: s(pk) },
    UpdateExpression: `SET #expires_at = :expires_at${adds && ` ADD ${adds}`}`,
    ExpressionAttributeNames: {
      "#expires_at": "expires_at",
      ...Object.fromEntries(bounds.map(([name], at) => [`#b${at}`, name])),
    },
    ExpressionAttributeValues: {
      ":expires_at": n(now + 2 * DAY),
      ...Object.fromEntries(bounds.map(([, by], at) => [`:b${at}`, n(sign * by)])),
    },
  };
}

/** Counts one application. Whether a cap refused that, and how many of the network's applications are held. */
async function count(pk, bounds, now) {
  const update = add(pk, bounds, 1, now);
  bounds.forEach(([, by, most], at) => (update.ExpressionAttributeValues[`:m${at}`] = n(most - by)));
  const conditions = bounds.map((_, at) => `(attribute_not_exists(#b${at}) OR #b${at} <= :m${at})`);
  const command = new UpdateItemCommand({
    ...update,
    ConditionExpression: conditions.join(" AND "),
    ReturnValues: "ALL_NEW",
    ReturnValuesOnConditionCheckFailure: "ALL_OLD",
  });
  try {
    const { Attributes } = await dynamodb.send(command);
    return { over: false, held: Number(Attributes?.held?.N ?? 0) };
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
    return { over: true, held: Number(error.Item?.held?.N ?? 0) };
  }
}

/** Moves the newest place into slot 0 and every other one on. The oldest must be out of the window. */
function takePlace(pk, most, person, ms) {
  const last = most - 1;
  const moved = Array.from({ length: last }, (_, at) => `, n${at + 1} = if_not_exists(n${at}, :none)`).join("");
  return {
    Update: {
      TableName: TABLE,
      Key: { pk: s(pk) },
      UpdateExpression: `SET n0 = :now${moved}, #owner = :owner, #expires_at = :expires_at`,
      ConditionExpression: `attribute_not_exists(n${last}) OR n${last} <= :begin`,
      ExpressionAttributeNames: { "#owner": "owner", "#expires_at": "expires_at" },
      ExpressionAttributeValues: {
        ":now": n(ms),
        ":begin": n(ms - HOUR * 1000),
        ":owner": s(person),
        ":expires_at": n(Math.floor(ms / 1000) + HOUR + 1),
        ...(last > 0 && { ":none": n(0) }),
      },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    },
  };
}

function markWrite(pk, application, now) {
  return {
    Update: {
      TableName: TABLE,
      Key: { pk: s(pk) },
      UpdateExpression:
        "SET #until = :until, #expires_at = :expires_at, #payload = :payload, #owner = :owner REMOVE #held",
      ConditionExpression: "attribute_not_exists(#until) OR (#until <= :now AND #payload = :payload)",
      ExpressionAttributeNames: {
        "#until": "until",
        "#owner": "owner",
        "#expires_at": "expires_at",
        "#payload": "payload",
        "#held": "held",
      },
      ExpressionAttributeValues: {
        ":owner": s(application.person),
        ":payload": s(application.payload),
        ":until": n(now + HOUR),
        ":expires_at": n(now + INVITATIONS_KEPT),
        ":now": n(now),
      },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    },
  };
}

/** Holds the application for an operator, unless its network has too many held ones. */
async function hold(application, sender, counted, mark, held, now) {
  if (held >= LIMITS.held) {
    if (counted.length > 0) await dynamodb.send(new UpdateItemCommand(add(sender, counted, -1, now)));
    return "too-many";
  }
  const update = add(sender, counted, -1, now);
  update.UpdateExpression += `${counted.length > 0 ? "," : " ADD"} #held :one`;
  update.ExpressionAttributeNames["#held"] = "held";
  update.ExpressionAttributeValues[":one"] = n(1);
  await dynamodb.send(new UpdateItemCommand(update));
  const item = {
    pk: s(`held#${application.id}`),
    owner: s(application.person),
    message: s(application.message),
    expires_at: n(now + HELD_KEPT),
    mark: s(mark),
  };
  const put = { TableName: TABLE, Item: item, ConditionExpression: "attribute_not_exists(pk)" };
  try {
    await dynamodb.send(new PutItemCommand(put));
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
  return "held";
}

/** The address without its suffix, accents and width: `Asha+1@` and `asha@` are one mailbox. */
function mailbox(email) {
  const text = email.normalize("NFKC").toLowerCase();
  const at = text.lastIndexOf("@");
  const local = text.slice(0, at).normalize("NFKD").replace(/\p{M}/gu, "");
  return local.slice(0, 1) + local.slice(1).split("+")[0] + text.slice(at);
}

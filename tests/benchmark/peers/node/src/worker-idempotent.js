// The same worker with Powertools' idempotency: an invitation that ended is not repeated when it is delivered again.
// https://docs.powertools.aws.dev/lambda/typescript/latest/features/idempotency/

import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency";
import { DynamoDBPersistenceLayer } from "@aws-lambda-powertools/idempotency/dynamodb";

import { workerOf } from "./batch.js";
import { dynamodb, invite } from "./invitations.js";

const KEPT = 30 * 24 * 60 * 60;

const config = new IdempotencyConfig({ eventKeyJmesPath: "id", expiresAfterSeconds: KEPT });
const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: process.env.LEDGER_TABLE,
  keyAttr: "pk",
  expiryAttr: "expires_at",
  awsSdkV3Client: dynamodb,
});

export const handler = workerOf(makeIdempotent(invite, { persistenceStore, config }), (context) =>
  config.registerLambdaContext(context),
);

// The worker as a team with Middy and Powertools for AWS Lambda writes it first: no ledger, failed messages go back to
// the queue.

import { workerOf } from "./batch.js";
import { invite } from "./invitations.js";

export const handler = workerOf(invite);

/** @file Checks against golden numbers of the official code. */

export { type Check, type GoldenNumbers, TOLERANCE, type VerificationOptions } from './check.ts';
export { checkedNames, verifyModel } from './verify.ts';

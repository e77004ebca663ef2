/** @file Checks against golden numbers of the official code. */

export { type Check, type GoldenNumbers, TOLERANCE } from './check.ts';
export { checkedNames, type VerificationOptions, verifyModel } from './verify.ts';

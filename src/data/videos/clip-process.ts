/** @file The program of the process that reads clips. See clip-reader.ts. */

import { serveChild } from '../../remote/node.ts';
import { type ClipCalls, localClipReader } from './clip-reader.ts';

const { read } = localClipReader();

serveChild<ClipCalls>({ read });

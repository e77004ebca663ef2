// The whole API in a route of Next: POST /api/ai/v1/images/generations {"prompt": "sneaker"}
import { acditApp } from 'acdit/server';

const { fetch } = acditApp({ models: ['fashion-mnist'], prefix: '/api/ai' });

export const runtime = 'nodejs';
export const GET = (request) => fetch(request);
export const POST = (request) => fetch(request);
export const DELETE = (request) => fetch(request);

/** Next must not bundle packages that have native code or start processes. */
export default { serverExternalPackages: ['acdit', 'onnxruntime-node', 'sharp'] };

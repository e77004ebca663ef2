/** The encoder's build for browsers, which comes without types. */
declare module 'h264-mp4-encoder/embuild/dist/h264-mp4-encoder.web.js' {
  export { createH264MP4Encoder } from 'h264-mp4-encoder';
}

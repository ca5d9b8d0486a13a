import { InterceptingCall, status, type Interceptor } from '@grpc/grpc-js';
import { currentWork } from '../../domain/model/current-work.js';
import { writeSpanContext } from '../../protocol/trace-context.js';

/**
 * Makes each call to a peer a span of the current work, and sends its context, so that the peer's
 * spans are within this one.
 */
export const tracedCall: Interceptor = (options, nextCall) => {
  const name = options.method_definition.path.slice(1);
  const span = currentWork().span?.child(name, {
    kind: 'client',
    attributes: { 'rpc.system.name': 'grpc', 'rpc.method': name },
  });
  if (span === undefined) return new InterceptingCall(nextCall(options));
  return new InterceptingCall(nextCall(options), {
    start(metadata, _, next) {
      if (span.context !== undefined) writeSpanContext(metadata, span.context);
      // Methods that are not defined here are passed on to the caller's own listener.
      next(metadata, {
        onReceiveStatus(end, pass) {
          const code = status[end.code];
          span.set({ 'rpc.status_code': code });
          span.end(end.code === status.OK ? undefined : { type: code });
          pass(end);
        },
      });
    },
  });
};

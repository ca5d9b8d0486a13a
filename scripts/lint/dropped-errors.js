/**
 * An ESLint rule: code that drops an error has a comment that says why nobody misses it. The comment
 * stands on the same line, inside the handler, or on the line above.
 */

/** Whether a function or a block uses no error: it has no parameter for it and throws nothing. */
function drops(node, source) {
  if (node.type === 'CatchClause') return node.param === null && !/\bthrow/.test(source.getText(node.body));
  if (node.type !== 'ArrowFunctionExpression' && node.type !== 'FunctionExpression') return false;
  return node.params.length === 0 && !/\bthrow|[a-z]\(/i.test(source.getText(node.body));
}

/** The function of a call that gets the error, if the call is one of these. */
function handlerOf({ callee, arguments: [first, second] }) {
  if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return undefined;
  const { name } = callee.property;
  if (name === 'catch') return first;
  if (name === 'then') return second;
  return (name === 'on' || name === 'once') && first?.value === 'error' ? second : undefined;
}

export const droppedErrors = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: { silent: 'an error is dropped: a comment on this line says why nobody misses it' },
  },
  create(context) {
    const source = context.sourceCode;
    const comments = source.getAllComments();
    const onLineOfItsOwn = ({ loc }) => source.lines[loc.start.line - 1].slice(0, loc.start.column).trim() === '';
    const explained = ({ loc: { start, end } }) =>
      comments.some(
        (comment) =>
          (comment.loc.end.line >= start.line && comment.loc.start.line <= end.line) ||
          (comment.loc.end.line === start.line - 1 && onLineOfItsOwn(comment)),
      );
    const check = (node) => {
      if (drops(node, source) && !explained(node)) context.report({ node, messageId: 'silent' });
    };
    return {
      CatchClause: check,
      CallExpression(node) {
        const handler = handlerOf(node);
        if (handler !== undefined) check(handler);
      },
    };
  },
};

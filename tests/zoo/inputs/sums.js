const squares = Array.from({ length: 1000000 }, (_, index) => index ** 2);
const total = squares.filter((square) => square % 3 === 1).reduce((sum, square) => sum + square, 0);
console.log(total, JSON.stringify({ last: squares.at(-1) }), /z(o+)/.exec("zoo")[1].length);

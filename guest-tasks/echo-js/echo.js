// Gives back what it is given: values of every shape pass through JavaScript unharmed (wit/echo.wit).

export function echo(value) {
  return value;
}

export function checked(value) {
  if (value.title === "") {
    console.error("refused: a drawing without a title");
    // What is thrown and is not an Error is the error of the result.
    throw "the drawing has no title";
  }
  return value;
}

export function greet(name, times) {
  if (name === "") {
    throw new Error("nobody to greet");
  }
  console.log(`greeting ${name}`);
  return Array(times).fill(`hello, ${name}!`).join(" ");
}

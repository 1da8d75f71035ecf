// A command: writes its arguments and how many lines it reads. It uses what Go's runtime needs of its
// host: goroutines, which wait by its clocks, and memory that is collected.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	start := time.Now()
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(os.Stdin)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	count := 0
	for range lines {
		count++
	}
	runtime.GC()
	if time.Since(start) < 0 || start.Year() < 2000 {
		panic("the clock is not set")
	}
	if count == 0 {
		fmt.Fprintln(os.Stderr, "there are no lines")
		os.Exit(3)
	}
	fmt.Println(strings.Join(append(os.Args[1:], fmt.Sprint(count)), " "))
}

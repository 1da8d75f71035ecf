// A reactor without types: functions of numbers. Its memory lasts as long as its instance.
package main

import "time"

var began = time.Now()

var calls uint32

//go:wasmexport power
func power(base float64, exponent uint32) float64 {
	result := 1.0
	for range exponent {
		result *= base
	}
	return result
}

//go:wasmexport count
func count() uint32 {
	calls++
	return calls
}

// The milliseconds that it has slept, by its own clock.
//
//go:wasmexport sleep
func sleep(milliseconds uint32) uint64 {
	start := time.Now()
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	if start.Before(began) {
		panic("time went back")
	}
	return uint64(time.Since(start).Milliseconds())
}

//go:wasmexport fails
func fails() {
	panic("it was told to")
}

func main() {}

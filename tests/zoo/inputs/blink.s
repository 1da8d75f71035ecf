; Toggles a pin for ever.
.global main
main:
    sbi 0x04, 5
loop:
    sbi 0x03, 5
    ldi r24, 100
wait:
    dec r24
    brne wait
    rjmp loop

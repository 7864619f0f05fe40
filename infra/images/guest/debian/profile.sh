# A serial line does not say the size of its terminal: it comes on the kernel's command line when the console knows it.
if [ /proc/self/fd/0 -ef /dev/ttyS0 ]; then
  read -r line </proc/cmdline
  for word in $line; do
    case $word in virga.size=*x*)
      size=${word#virga.size=}
      stty cols "${size%x*}" rows "${size#*x}"
      ;;
    esac
  done
  unset line word size
fi
